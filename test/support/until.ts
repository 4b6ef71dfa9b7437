/** Asks again until it holds; for processes at work, which have to be waited for. What `ask` throws counts as not yet. */
export async function until<T>(
  ask: () => Promise<T> | T,
  holds: (value: T) => boolean,
  limitMs: number,
  everyMs = 100,
): Promise<T> {
  const end = Date.now() + limitMs;
  for (;;) {
    const got = await attempt(ask);
    if ("value" in got && holds(got.value)) return got.value;
    if (Date.now() > end) {
      const last = "value" in got ? JSON.stringify(got.value) : String(got.error);
      throw new Error(`not within ${limitMs} ms: ${last?.slice(0, 1000)}`);
    }
    await new Promise((done) => setTimeout(done, everyMs));
  }
}

async function attempt<T>(ask: () => Promise<T> | T): Promise<{ value: T } | { error: unknown }> {
  try {
    return { value: await ask() };
  } catch (error) {
    return { error };
  }
}
