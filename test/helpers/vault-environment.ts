/** Of the vault's environment every variable without a default, but for those of the back ends. */
export const VAULT_ENVIRONMENT: Readonly<Record<string, string>> = {
  CHAIN_RPC_URLS: "http://127.0.0.1:8545",
  CHAIN_ID: "31337",
  CHAIN_SIDECAR_REGISTRY: `0x${"11".repeat(20)}`,
  CHAIN_SCOPE_REGISTRY: `0x${"22".repeat(20)}`,
  CHAIN_K3_EPOCH_COUNTER: `0x${"33".repeat(20)}`,
  VAULT_STATE_DIR: "/srv/state",
  VAULT_BROKER_ORIGIN: "https://broker.example.org",
  VAULT_BROKER_JWKS_FILE: "/srv/jwks.json",
  VAULT_PUBLIC_ORIGIN: "https://signer.example.org",
  VAULT_RP_ID: "example.org",
  VAULT_RP_ORIGINS: "https://example.org",
  VAULT_WORKER_ORIGINS: "credentials=https://creds.example.org",
};
