// Bytes that were harmed, for the properties of what reads them.
import fc from "fast-check";

export type Mutation = { place: number; kind: string; byte: number };

export const anyMutations: fc.Arbitrary<Mutation[]> = fc.array(
  fc.record({ place: fc.nat(), kind: fc.constantFrom("set", "flip", "cut", "insert"), byte: fc.nat(255) }),
  { minLength: 1, maxLength: 4 },
);

export function mutated(bytes: Uint8Array, mutations: readonly Mutation[]): Uint8Array {
  let out = Array.from(bytes);
  for (const { place, kind, byte } of mutations) {
    const at = place % (out.length + 1);
    if (kind === "set") out[at] = byte;
    else if (kind === "flip") out[at] = (out[at] ?? 0) ^ (1 << (byte & 7));
    else if (kind === "cut") out.splice(at, 1 + (byte % 8));
    else out = out.toSpliced(at, 0, byte);
  }
  return Uint8Array.from(out);
}
