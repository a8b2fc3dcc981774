// Who can be asked: each model's latest version, and where there are more, each of them by its number or its label.

import { shown } from "./elements.js";
import { inPath } from "./server.js";

/** [{path, name, text, version}] of the list of models; version: what the list says of it. */
export function targetsOf(models) {
  return models.flatMap((model) => {
    const available = model.versions.filter((version) => version.state === "AVAILABLE");
    const latest = available.find((version) => version.version === model.default_version);
    if (!latest) return [];
    const path = inPath(model.name), name = shown(model.name), several = available.length > 1;
    const found = [{ path, name, text: several ? `${name} (latest)` : name, version: latest }];
    for (const [label, number] of Object.entries(model.labels)) {
      const version = available.find((one) => one.version === number);
      if (version) found.push({ path: `${path}/labels/${inPath(label)}`, name, text: `${name} (${shown(label)})`, version });
    }
    if (several) {
      for (const version of available) {
        const text = `${name} (version ${version.version})`;
        found.push({ path: `${path}/versions/${version.version}`, name, text, version });
      }
    }
    return found;
  });
}
