// oidc-provider ships no declarations; the bench uses only this much of it.
declare module "oidc-provider" {
  interface Context {
    readonly path: string;
    readonly status: number;
  }
  export default class Provider {
    constructor(issuer: string, configuration: object);
    use(middleware: (context: Context, next: () => Promise<void>) => Promise<void>): void;
    listen(port: number, host: string): void;
  }
}
