import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type AllowedAddresses, judgeAddress, judgeUrl, readAllowed } from "../../../worker/model/webhooks/address.ts";

const NOWHERE: AllowedAddresses = { local: false, networks: [], names: [] };
const LOCAL: AllowedAddresses = { ...NOWHERE, local: true };
const refused = (url: string, allowed = NOWHERE) => "refused" in judgeUrl(url, allowed);

test.each([
  "https://hooks.example.com/drover",
  "https://hooks.example.com:8443/a?b=c",
  "https://93.184.216.34/",
  "https://[2606:2800:21f:cb07::1]/",
  "https://HOOKS.Example.com./",
])("%s may be sent to", (url) => {
  expect(judgeUrl(url, NOWHERE)).toHaveProperty("ok");
});

// Every spelling that a parser of URLs makes one of these addresses of.
test.each([
  ["plain http", "http://hooks.example.com/"],
  ["another scheme", "ftp://hooks.example.com/"],
  ["a file", "file:///etc/passwd"],
  ["no URL", "hooks.example.com"],
  ["a user in it", "https://user@hooks.example.com/"],
  ["a password in it", "https://user:pass@hooks.example.com/"],
  ["loopback", "https://127.0.0.1/"],
  ["loopback, short", "https://127.1/"],
  ["loopback, decimal", "https://2130706433/"],
  ["loopback, octal", "https://0177.0.0.1/"],
  ["loopback, hexadecimal", "https://0x7f000001/"],
  ["loopback, mixed", "https://0x7f.0.0.01/"],
  ["loopback, full-width digits", "https://１２７.0.0.1/"],
  ["loopback, other end", "https://127.255.255.254/"],
  ["loopback by name", "https://localhost/"],
  ["loopback by name with a dot", "https://localhost./"],
  ["loopback below localhost", "https://a.localhost/"],
  ["loopback IPv6", "https://[::1]/"],
  ["loopback, mapped", "https://[::ffff:127.0.0.1]/"],
  ["loopback, mapped, hexadecimal", "https://[::ffff:7f00:1]/"],
  ["loopback, compatible", "https://[::127.0.0.1]/"],
  ["loopback by NAT64", "https://[64:ff9b::7f00:1]/"],
  ["loopback by 6to4", "https://[2002:7f00:1::]/"],
  ["unspecified", "https://0.0.0.0/"],
  ["unspecified, short", "https://0/"],
  ["unspecified IPv6", "https://[::]/"],
  ["10/8", "https://10.1.2.3/"],
  ["172.16/12", "https://172.31.255.255/"],
  ["192.168/16", "https://192.168.1.1/"],
  ["private, mapped", "https://[::ffff:10.0.0.1]/"],
  ["link-local: metadata of most clouds", "https://169.254.169.254/latest/meta-data/"],
  ["metadata, decimal", "https://2852039166/"],
  ["metadata, mapped", "https://[::ffff:a9fe:a9fe]/"],
  ["CGNAT: metadata of Alibaba", "https://100.100.100.200/"],
  ["metadata of Azure", "https://168.63.129.16/"],
  ["metadata of Oracle", "https://192.0.0.192/"],
  ["metadata of AWS by IPv6", "https://[fd00:ec2::254]/"],
  ["metadata of Google by name", "https://metadata.google.internal/"],
  ["link-local IPv6", "https://[fe80::1]/"],
  ["site-local IPv6", "https://[fec0::1]/"],
  ["unique local IPv6", "https://[fc00::1]/"],
  ["multicast", "https://224.0.0.1/"],
  ["multicast IPv6", "https://[ff02::1]/"],
  ["broadcast", "https://255.255.255.255/"],
  ["documentation", "https://192.0.2.1/"],
  ["benchmarks", "https://198.18.0.1/"],
  ["documentation IPv6", "https://[2001:db8::1]/"],
  ["Teredo", "https://[2001:0:7f00:1::]/"],
  ["one label", "https://intranet/"],
  [".local", "https://printer.local/"],
  [".internal", "https://db.corp.internal/"],
  [".home.arpa", "https://nas.home.arpa/"],
  [".onion", "https://abcdef.onion/"],
  ["a length that is no URL's", `https://hooks.example.com/${"x".repeat(3000)}`],
])("%s is refused: %s", (_, url) => {
  expect(refused(url)).toBe(true);
});

test("no private IPv4 address gets through in any spelling", () =>
  fc.assert(
    fc.property(
      fc.constantFrom([10, 8], [127, 8], [0, 8]),
      fc.nat({ max: 0xff_ff_ff }),
      fc.constantFrom("dotted", "decimal", "hexadecimal", "octal", "mapped"),
      ([first = 0], rest, spelling) => {
        const value = first * 2 ** 24 + rest;
        const parts = [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256);
        const host = {
          dotted: parts.join("."),
          decimal: String(value),
          hexadecimal: `0x${value.toString(16)}`,
          octal: parts.map((part) => `0${part.toString(8)}`).join("."),
          mapped: `[::ffff:${parts.join(".")}]`,
        }[spelling];
        expect(refused(`https://${host}/`)).toBe(true);
      },
    ),
  ));

describe("on a developer's machine", () => {
  test.each(["http://127.0.0.1:9/", "http://localhost:9/", "https://127.0.0.1/", "http://[::1]:9/"])(
    "%s is allowed",
    (url) => {
      expect(refused(url, LOCAL)).toBe(false);
    },
  );
  test.each(["http://10.0.0.1/", "https://10.0.0.1/", "http://hooks.example.com/", "http://169.254.169.254/"])(
    "%s is not",
    (url) => {
      expect(refused(url, LOCAL)).toBe(true);
    },
  );
});

describe("what an operator names", () => {
  const allowed = { local: false, ...readAllowed("10.20.0.0/16, fd12::/16, 192.168.7.7, .corp.example, hooks.lan") };
  test.each([
    ["https://10.20.3.4/", false],
    ["https://10.21.3.4/", true],
    ["https://[fd12::9]/", false],
    ["https://192.168.7.7/", false],
    ["https://192.168.7.8/", true],
    ["https://a.corp.example/", false],
    ["https://hooks.lan/", false],
    ["https://other.lan/", true],
    ["http://10.20.3.4/", true],
    ["https://[::ffff:10.20.3.4]/", false],
  ])("%s: refused %s", (url, isRefused) => {
    expect(refused(url, allowed)).toBe(isRefused);
  });

  test.each(["10.20.0.0/33", "what ever", "a,b c"])("%s is refused as a setting", (text) => {
    expect(() => readAllowed(text)).toThrow(/neither/);
  });
});

test.each([
  ["93.184.216.34", true],
  ["127.0.0.1", false],
  ["::ffff:10.0.0.1", false],
  ["2606:2800:21f:cb07::1", true],
  ["not an address", false],
])("a name that leads to %s: %s", (address, isGood) => {
  expect(judgeAddress(address, NOWHERE) === null).toBe(isGood);
});
