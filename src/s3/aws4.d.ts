/** The part of `aws4` (which has no types of its own) that is used. */
declare module "aws4" {
  interface Request {
    readonly service: string;
    readonly region: string;
    readonly method: string;
    readonly path: string;
    readonly headers: Readonly<Record<string, string>>;
  }
  interface Credentials {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string | undefined;
  }
  const aws4: { sign(request: Request, credentials: Credentials): { readonly headers: Record<string, string> } };
  export = aws4;
}
