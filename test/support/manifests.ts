import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';

const CONFIG = join(import.meta.dirname, '../../config');

/** Fields of all Kubernetes objects. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

/**
 * Renders what `kubectl apply -k config/kubernetes/production` would send, with the example's secrets.
 * @param folder an empty folder for a copy of the manifests
 */
export function renderProduction(folder: string): Manifest[] {
  if (spawnSync('kubectl', ['version', '--client']).status !== 0) {
    throw new Error('kubectl is needed to render the manifests: install it so that it is on the PATH');
  }
  cpSync(CONFIG, folder, { recursive: true });
  const overlay = join(folder, 'kubernetes/production');
  renameSync(join(overlay, 'secrets.example'), join(overlay, 'secrets'));
  const text = execFileSync('kubectl', ['kustomize', overlay], { encoding: 'utf8' });
  return parseAllDocuments(text).map((document) => unfolded(document.toJS() as Manifest));
}

/** Joins base64 that kustomize has folded, which Kubernetes accepts and the schema does not. */
function unfolded(manifest: Manifest & { data?: Record<string, string> }): Manifest {
  if (manifest.kind !== 'Secret') return manifest;
  const data = Object.entries(manifest.data ?? {}).map(([name, value]): [string, string] => [
    name,
    value.replace(/\s/g, ''),
  ]);
  const unfoldedData: Readonly<Record<string, string>> = Object.fromEntries(data);
  return { ...manifest, data: unfoldedData } as Manifest;
}
