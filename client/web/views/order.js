// The order of the lanes. Pure. Knows names, families and who sounds.

/**
 * labels: [{name, family}]; order: `family` | `sounding` | `name`; on: names that sound.
 * @returns [{family: name or null for none, names: [...]}] from top to bottom
 */
export function arrange(labels, order, on) {
  if (order === 'family') {
    const families = Map.groupBy(labels, (label) => label.family)
    return [...families].map(([family, members]) => ({ family, names: members.map((label) => label.name).toSorted() }))
  }
  const names = labels.map((label) => label.name).toSorted()
  if (order === 'name') return [{ family: null, names }]
  const lit = names.filter((name) => on.includes(name))
  return [{ family: null, names: [...lit, ...names.filter((name) => !on.includes(name))] }]
}
