/** One measured row; a peer is what a user would otherwise run, measured in the same run on the same machine. */
export interface Row {
  readonly name: string;
  /** Median of the rounds, in `unit`. */
  readonly value: number;
  readonly unit: "req/s" | "ms";
  /** Of all requests of all rounds. */
  readonly p50_ms: number;
  readonly p99_ms: number;
  /** Processor time of the server's process, kernel included. */
  readonly cpu_us_per_request?: number;
  readonly peer?: string;
  readonly peer_value?: number;
  readonly peer_p50_ms?: number;
  readonly peer_cpu_us_per_request?: number;
  /** `value` over `peer_value`, the median of the rounds' own ratios. */
  readonly ratio?: number;
  /** For `ms`: what it costs over the peer at p50. */
  readonly over_peer_ms?: number;
  /** What the row must reach, where an issue names it. */
  readonly target?: string;
  readonly reached?: boolean;
}

/** The middle one of an odd number; the lower middle one otherwise. */
export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** The value below or at which a share of the values lies. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN;
}

/** Rounded to some decimals. */
export function rounded(value: number, decimals: number): number {
  return Number(value.toFixed(decimals));
}
