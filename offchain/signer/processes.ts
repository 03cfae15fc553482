/** The file descriptor at which front and vault each inherit their end of the pipe between them. */
export const VAULT_PIPE_FD = 3;

/** Ends this process when its supervisor is gone, also by kill -9: standard input is a pipe that only it holds. */
export function endWithSupervisor(): void {
  process.stdin.resume().once("close", () => process.kill(process.pid, "SIGTERM"));
}
