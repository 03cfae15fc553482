/** The file descriptor at which front and vault each inherit their end of the pipe between them. */
export const VAULT_PIPE_FD = 3;

/** Ends this process when its supervisor is gone, also by kill -9: standard input is a pipe that only it holds. */
export function endWithSupervisor(): void {
  process.stdin.resume().once("close", () => process.kill(process.pid, "SIGTERM"));
}

/**
 * How a program is started that leaves no core file when it crashes: memory of the vault is K3. The limit is a hard one,
 * which the program cannot raise. Where the kernel hands cores to a program instead, that program reads the same limit.
 */
export function withoutCore(program: string, args: readonly string[]): readonly [string, readonly string[]] {
  return ["/bin/sh", ["-c", 'ulimit -c 0 && exec "$0" "$@"', program, ...args]];
}

/** Node opens an inspector on loopback, for anybody on this machine, when it is sent SIGUSR1; not where this was called. */
export function refuseDebugger(): void {
  process.on("SIGUSR1", () => undefined);
}
