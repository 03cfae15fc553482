import type { Voice } from "./program";

/** Shows how far long work is: one line that is written over on a terminal, else a line each tenth of the way. */
export interface Progress {
  show(done: number, total: number, words: string): void;
  /** Ends the line, before anything else is said. */
  end(): void;
}

/** Progress on standard error where that is a terminal; silent with --json on none. */
export function progress(voice: Voice, terminal: NodeJS.WriteStream = process.stderr): Progress {
  let tenths = -1;
  let isOpen = false;
  return {
    show(done, total, words) {
      const percent = total === 0 ? 100 : Math.floor((done * 100) / total);
      const line = `${String(done)} of ${String(total)} (${String(percent)} %)${words === "" ? "" : `, ${words}`}`;
      if (terminal.isTTY) {
        terminal.write(`\r\u001b[K${line}`);
        isOpen = true;
      } else if (Math.floor(percent / 10) > tenths) {
        tenths = Math.floor(percent / 10);
        voice.say(line);
      }
    },
    end() {
      if (isOpen) terminal.write("\n");
      isOpen = false;
    },
  };
}
