// Questions of Drover's that move nothing: each is answered once, and said again where it comes again. Nothing is written
// down: a restarted agent may well answer anew.
import type { CheckAnswer, Question } from "../../worker/model/wire/question.ts";
import { isFinal, type Api } from "./api.ts";
import type { Handled } from "./commands.ts";
import { age } from "./judge.ts";
import { messageOf } from "./log.ts";
import type { Parts } from "./parts.ts";
import { preflight } from "./preflight.ts";
import { createProber, ProbeRefusal } from "./probe.ts";

/** Questions remembered: far more than come within the life of one. */
const REMEMBERED_MAX = 64;
const RETRY_MS = 500;

export type Questions = { take: (question: Question, signedAtMs: number) => Handled };

export function createQuestions(parts: Parts & { api: Api }): Questions {
  const { api, life, log, now } = parts;
  /** Null: being answered. */
  const answers = new Map<string, CheckAnswer | null>();
  const probe = createProber(parts);

  const answerTo = async (question: Question): Promise<CheckAnswer> => {
    if (question.type === "link.probe") return { type: "link.probe", link: await probe(question) };
    return { type: question.type, at: now(), checks: await preflight(parts, question), peerUrl: parts.peerUrl() };
  };
  const say = async ({ id, expiresAt }: Question, answer: CheckAnswer): Promise<void> => {
    for (;;) {
      try {
        return await api.answer(id, answer);
      } catch (error) {
        log("warn", "an answer was not taken", { checkId: id, error: messageOf(error) });
        if (isFinal(error) || life.isStopping() || now() > expiresAt) return;
        await life.sleep(RETRY_MS);
      }
    }
  };
  const refusalOf = (error: unknown): CheckAnswer => ({
    type: "refused",
    reason: error instanceof ProbeRefusal ? error.reason : "failed",
    detail: messageOf(error).slice(0, 2000) || "it failed and did not say why",
  });
  return {
    take: (question, signedAtMs) => {
      const { id, type } = question;
      const known = answers.get(id);
      if (known !== undefined) {
        if (known !== null) life.spawn("answer", () => say(question, known));
        return { verdict: "repeat" };
      }
      const late = age(question, { nowMs: now(), signedAtMs });
      const oldest = answers.size >= REMEMBERED_MAX ? answers.keys().next().value : undefined;
      if (oldest !== undefined) answers.delete(oldest);
      answers.set(id, null);
      log("info", "a question was taken", { type, checkId: id });
      life.spawn("answer", async () => {
        const answer: CheckAnswer =
          late === null ? await answerTo(question).catch(refusalOf) : { type: "refused", ...late };
        answers.set(id, answer);
        await say(question, answer);
      });
      return late === null ? { verdict: "take" } : { verdict: "refuse", ...late };
    },
  };
}
