/** Why a parameter's value is refused, where its form in the table does not say it all. parameters.ts makes the error of it. */
export class ParameterRefusal extends Error {}
