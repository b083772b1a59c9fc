// The order of the lanes. Pure. Knows names, families and who sounds.

/**
 * labels: [{name, family}]; order: `family` | `sounding` | `name`; on: names that sound.
 * @returns [{family: name or null for none, names: [...]}] from top to bottom
 */
export function arrange(labels, order, on) {
  const names = labels.map((label) => label.name).sort()
  if (order === 'family') {
    return [...new Set(labels.map((label) => label.family))].map((family) => ({
      family,
      names: names.filter((name) => labels.some((label) => label.name === name && label.family === family)),
    }))
  }
  if (order === 'name') return [{ family: null, names }]
  const lit = names.filter((name) => on.includes(name))
  return [{ family: null, names: [...lit, ...names.filter((name) => !on.includes(name))] }]
}
