import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { parseMdstat, readHardware } from "../../scripts/agent/hardware.ts";

const roots: string[] = [];
afterEach(() => roots.splice(0).forEach((root) => rmSync(root, { recursive: true })));

/** A machine with these files. */
function machine(files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), "drover-hardware-"));
  roots.push(root);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return root;
}

const MC = "sys/devices/system/edac/mc";
const HWMON = "sys/class/hwmon";
const NOTHING = { eccCorrected: null, eccUncorrected: null, temperatureCelsius: null, diskFailedRatio: null };

const MDSTAT = `Personalities : [raid1] [raid6] [raid5] [raid4]
md1 : active raid1 sdd1[1](F) sdc1[0]
      976630464 blocks super 1.2 [2/1] [U_]
      bitmap: 3/8 pages [12KB], 65536KB chunk

md0 : active raid5 sdg[3] sdf[1] sde[0]
      1953260544 blocks super 1.2 level 5, 512k chunk, algorithm 2 [3/3] [UUU]

unused devices: <none>
`;

describe("the machine's hardware", () => {
  test("is what its controllers, sensors and arrays tell", async () => {
    const root = machine({
      [`${MC}/mc0/ce_count`]: "3\n",
      [`${MC}/mc0/ue_count`]: "0\n",
      [`${MC}/mc1/ce_count`]: "4\n",
      [`${MC}/mc1/ue_count`]: "1\n",
      [`${MC}/power/control`]: "auto\n",
      [`${HWMON}/hwmon0/temp1_input`]: "41500\n",
      [`${HWMON}/hwmon0/temp1_crit`]: "100000\n",
      [`${HWMON}/hwmon1/temp2_input`]: "67250\n",
      "proc/mdstat": MDSTAT,
    });
    expect(await readHardware(root)).toEqual({
      eccCorrected: 7,
      eccUncorrected: 1,
      temperatureCelsius: 67.25,
      diskFailedRatio: 0.2,
    });
  });

  test("is unknown where the machine tells nothing", async () => {
    expect(await readHardware(machine({}))).toEqual(NOTHING);
    expect(await readHardware(join(tmpdir(), "drover-no-such-root"))).toEqual(NOTHING);
  });

  test("is unknown where a file holds no number, and errors where one controller does not tell", async () => {
    const root = machine({
      [`${MC}/mc0/ce_count`]: "3\n",
      [`${MC}/mc1/ce_count`]: "",
      [`${MC}/mc0/ue_count`]: "none\n",
      [`${HWMON}/hwmon0/temp1_input`]: "",
    });
    expect(await readHardware(root)).toEqual(NOTHING);
  });

  test("sensors to which nothing is connected are not the hottest", async () => {
    const root = machine({ [`${HWMON}/hwmon0/temp1_input`]: "127500", [`${HWMON}/hwmon0/temp2_input`]: "-5000" });
    expect(await readHardware(root)).toMatchObject({ temperatureCelsius: -5 });
  });
});

describe("arrays", () => {
  test.each([
    ["no array", "Personalities : \nunused devices: <none>\n", null],
    ["an empty file", "", null],
    ["whole ones", "md0 : active raid1 sdb[1] sda[0]\n      1 blocks [2/2] [UU]\n", 0],
    ["one whose failed member was taken out", "md0 : active raid1 sda[0]\n      1 blocks [2/1] [U_]\n", 0.5],
    ["a spare that waits", "md0 : active raid1 sdc[2](S) sdb[1](F) sda[0]\n      1 blocks [2/1] [U_]\n", 1 / 3],
    ["one without redundancy", "md0 : active raid0 sdb[1] sda[0]\n      1 blocks 512k chunks\n", 0],
  ])("%s", (_, text, ratio) => {
    expect(parseMdstat(text)).toBe(ratio);
  });
});
