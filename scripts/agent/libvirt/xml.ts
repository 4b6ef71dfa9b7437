// libvirt's XML as plain elements.
import { DOMParser, onErrorStopParsing, type Element as DomElement } from "@xmldom/xmldom";

export type Element = { name: string; attributes: Record<string, string>; children: Element[]; text: string };

const ELEMENT_NODE = 1;

function toElement(node: DomElement): Element {
  const children: Element[] = [];
  for (let each = node.firstChild; each !== null; each = each.nextSibling)
    if (each.nodeType === ELEMENT_NODE) children.push(toElement(each as DomElement));
  const attributes: Record<string, string> = {};
  for (const { name, value } of node.attributes) attributes[name] = value;
  return { name: node.nodeName, attributes, children, text: (node.textContent ?? "").trim() };
}

/** Throws when it is not well-formed. */
export function parseXml(text: string): Element {
  const root = new DOMParser({ onError: onErrorStopParsing }).parseFromString(text.trim(), "text/xml").documentElement;
  if (root === null) throw new Error("an XML document without an element");
  return toElement(root);
}

/** All elements at the end of a path of names, in their order. */
export function all(from: Element | null, ...path: string[]): Element[] {
  let found = from === null ? [] : [from];
  for (const name of path) found = found.flatMap((each) => each.children.filter((child) => child.name === name));
  return found;
}

export const one = (from: Element | null, ...path: string[]): Element | null => all(from, ...path)[0] ?? null;

export const attribute = (from: Element | null, name: string): string | undefined => from?.attributes[name];

/** 1024s by default, 1000s where the unit says so, as libvirt scales them. */
const UNITS: Record<string, number> = {
  b: 1,
  bytes: 1,
  KB: 1e3,
  k: 1024,
  KiB: 1024,
  MB: 1e6,
  M: 1024 ** 2,
  MiB: 1024 ** 2,
  GB: 1e9,
  G: 1024 ** 3,
  GiB: 1024 ** 3,
  TB: 1e12,
  T: 1024 ** 4,
  TiB: 1024 ** 4,
};

/** A number with its unit (KiB where none is given), in bytes; null when it is neither. */
export function scaled(value: string | undefined, unit: string | undefined): number | null {
  const factor = UNITS[unit ?? "KiB"];
  return value !== undefined && /^\d+$/.test(value) && factor !== undefined ? Number(value) * factor : null;
}

/** The size that an element like `<memory unit='KiB'>163840</memory>` holds. */
export const sizeOf = (from: Element | null): number | null =>
  from === null ? null : scaled(from.text, attribute(from, "unit"));
