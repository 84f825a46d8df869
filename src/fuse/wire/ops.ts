/** Placeholder of the seam until the op table stands: one handler per operation, by the kernel's name. */
export type OpHandlers = Readonly<Record<string, unknown>>;
