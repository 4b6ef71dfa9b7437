// Cyclic redundancy checks: of eight bits for a column, of sixteen for a header.

/** Of each byte, what is left of it after division by the polynomial. */
function tableOf(polynomial: number, bits: number): Int32Array {
  const top = 1 << (bits - 1);
  const mask = (1 << bits) - 1;
  return Int32Array.from({ length: 256 }, (_, byte) => {
    let rest = byte << (bits - 8);
    for (let turn = 0; turn < 8; turn++) rest = ((rest << 1) ^ ((rest & top) === 0 ? 0 : polynomial)) & mask;
    return rest;
  });
}

const CRC8 = tableOf(0x2f, 8);
const CRC16 = tableOf(0x1021, 16);

/** CRC-8 with the polynomial 0x2f (AUTOSAR's) from the lowest eight bits of `seed`. */
export function crc8(bytes: Uint8Array, seed: number): number {
  let rest = seed & 0xff;
  for (let index = 0; index < bytes.length; index++) rest = CRC8[rest ^ (bytes[index] ?? 0)] ?? 0;
  return rest;
}

/** CRC-16 with the polynomial 0x1021 from 0xffff (CRC-16/IBM-3740). */
export function crc16(bytes: Uint8Array): number {
  let rest = 0xffff;
  for (let index = 0; index < bytes.length; index++)
    rest = ((rest << 8) & 0xff00) ^ (CRC16[(rest >> 8) ^ (bytes[index] ?? 0)] ?? 0);
  return rest;
}
