// Two models side by side on the same samples: where they differ. Pure. Knows events; nothing of pictures.

/** The pieces of time, [{from, to}] in samples, in which exactly one of two lists of events sounds. end: the sample of now. */
export function differences(ours, theirs, end) {
  const edges = []
  for (const [events, side] of [
    [ours, 0],
    [theirs, 1],
  ]) {
    for (const { onset_sample: from, offset_sample: to } of events) {
      edges.push({ at: from, side, step: 1 }, { at: to ?? Math.max(end, from), side, step: -1 })
    }
  }
  edges.sort((a, b) => a.at - b.at)
  const on = [0, 0]
  const pieces = []
  let from = null // of the piece that is open
  for (let i = 0; i < edges.length; ) {
    const { at } = edges[i]
    for (; i < edges.length && edges[i].at === at; i++) on[edges[i].side] += edges[i].step
    const differs = on[0] > 0 !== on[1] > 0
    if (differs && from === null) from = at
    if (!differs && from !== null) {
      pieces.push({ from, to: at })
      from = null
    }
  }
  return pieces
}

/** How many samples of the window [since, end) the pieces take. */
export function taken(pieces, since, end) {
  return pieces.reduce((sum, { from, to }) => sum + Math.max(0, Math.min(to, end) - Math.max(from, since)), 0)
}

/** The labels of both models: [{name, family, ours: index or -1, theirs: index or -1}], ours first. */
export function together(ours, theirs) {
  const place = (labels, name) => labels.findIndex((one) => one.name === name)
  return [...ours, ...theirs.filter(({ name }) => place(ours, name) < 0)].map((label) => ({
    ...label,
    ours: place(ours, label.name),
    theirs: place(theirs, label.name),
  }))
}
