// What the words of a command line mean. Nothing is done here.
import { parseArgs, type ParseArgsConfig } from "node:util";
import { CONFIG_VARIABLE, ENVIRONMENT } from "../config.ts";
import { VERSION } from "./version.ts";

const DEFAULT_CONFIG = "/etc/drover/agent.json";

export const VERBS = ["run", "check", "once", "status", "install", "help"] as const;
export type Verb = (typeof VERBS)[number];

export const HELP = `drover-agent ${VERSION}: the agent of one hypervisor

  drover-agent run       collect, and take signed commands, until SIGTERM or SIGINT
  drover-agent check     say what is missing on this host and how to put it right, a line each
  drover-agent once      collect and send one batch, and say what was sent
  drover-agent status    ask the agent that runs here how it does (--json)
  drover-agent install   write a systemd unit (--print: only show it; --dry-run: say what would be done; --user NAME)
  drover-agent help      this text; --version

  --config FILE          the configuration; else ${CONFIG_VARIABLE}, else ${DEFAULT_CONFIG}

Environment, which wins over the file: ${Object.keys(ENVIRONMENT).join(", ")}.
Status: 0 done; 1 it failed, or check found what has to be put right; 2 wrong usage or configuration; 3 no agent runs (status).
`;

const OPTIONS = {
  config: { type: "string" },
  json: { type: "boolean" },
  print: { type: "boolean" },
  "dry-run": { type: "boolean" },
  user: { type: "string" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean" },
} as const satisfies ParseArgsConfig["options"];

/** Which verbs know an option that not all of them know. */
const BELONGS: Record<string, readonly Verb[]> = {
  config: ["run", "check", "once", "status", "install"],
  json: ["status"],
  print: ["install"],
  "dry-run": ["install"],
  user: ["install"],
};

export type CommandLine =
  | { kind: "do"; verb: Exclude<Verb, "help">; configFile: string; json: boolean; install: InstallOptions }
  | { kind: "tell"; text: string }
  /** Not understood; one line. */
  | { kind: "wrong"; why: string };
export type InstallOptions = { mode: "write" | "dry-run" | "print"; user: string | null };

function parse(args: string[]) {
  try {
    return parseArgs({ args, allowPositionals: true, options: OPTIONS });
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const isVerb = (word: string): word is Verb => (VERBS as readonly string[]).includes(word);

function problemOf(positionals: readonly string[], options: readonly string[]): string | null {
  const [verb, ...rest] = positionals;
  if (verb === undefined) return `a command is missing: ${VERBS.join(", ")}`;
  if (!isVerb(verb)) return `there is no command ${JSON.stringify(verb)}: ${VERBS.join(", ")}`;
  if (rest.length > 0) return `${verb} takes no further words: ${rest.join(" ")}`;
  const foreign = options.find((name) => BELONGS[name]?.includes(verb) === false);
  return foreign === undefined ? null : `${verb} has no option --${foreign}`;
}

export function readCommandLine(args: string[], env: Record<string, string | undefined>): CommandLine {
  const parsed = parse(args);
  if (typeof parsed === "string") return { kind: "wrong", why: parsed };
  const { values, positionals } = parsed;
  if (values.version) return { kind: "tell", text: `${VERSION}\n` };
  if (values.help) return { kind: "tell", text: HELP };
  const why = problemOf(positionals, Object.keys(values));
  if (why !== null) return { kind: "wrong", why };
  const verb = positionals[0] as Verb;
  if (verb === "help") return { kind: "tell", text: HELP };
  if (values.config === "") return { kind: "wrong", why: "--config needs the name of a file" };
  return {
    kind: "do",
    verb,
    configFile: values.config ?? (env[CONFIG_VARIABLE] || DEFAULT_CONFIG),
    json: values.json ?? false,
    install: {
      mode: values.print ? "print" : values["dry-run"] ? "dry-run" : "write",
      user: values.user ?? null,
    },
  };
}
