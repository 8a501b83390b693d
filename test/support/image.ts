import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { basename, dirname, join, matchesGlob, relative } from 'node:path';
import {
  type Copy,
  DockerfileParser,
  type From,
  type Instruction,
  type PropertyInstruction,
} from 'dockerfile-ast';

/** The result of one stage of a Dockerfile. */
export interface Image {
  /** Root folder: contains `app` for `/app` of the image, and nothing of the base image. */
  readonly root: string;
  readonly base: string;
  workdir: string;
  user: string;
  readonly env: Record<string, string>;
  readonly labels: Record<string, string>;
  /** Undefined unless in exec form. */
  entrypoint?: readonly string[] | undefined;
  command?: readonly string[] | undefined;
  healthcheck?: readonly string[] | undefined;
}

export interface BuildOptions {
  /** The build context, with Dockerfile and .dockerignore. */
  readonly context: string;
  /** An empty folder for the stages. */
  readonly folder: string;
}

/**
 * Builds a Dockerfile without a Docker engine: each stage in an empty folder, with COPY (respecting .dockerignore) and
 * RUN executed there. Node and npm of this machine replace the base image.
 * @returns the last stage
 */
export function buildImage(options: BuildOptions): Image {
  const dockerfile = DockerfileParser.parse(readFileSync(join(options.context, 'Dockerfile'), 'utf8'));
  const build = new Build(options);
  for (const instruction of dockerfile.getInstructions()) build.carryOut(instruction);
  return build.image;
}

class Build {
  readonly #options: BuildOptions;
  readonly #ignored: readonly string[];
  readonly #stages = new Map<string, Image>();
  readonly #args: Record<string, string> = {};

  constructor(options: BuildOptions) {
    this.#options = options;
    const lines = readFileSync(join(options.context, '.dockerignore'), 'utf8').split('\n');
    this.#ignored = lines.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'));
  }

  get image(): Image {
    return [...this.#stages.values()].at(-1)!;
  }

  carryOut(instruction: Instruction): void {
    const content = this.#expand(instruction.getArgumentsContent() ?? '');
    switch (instruction.getKeyword()) {
      case 'FROM':
        return this.#from(instruction as From);
      case 'ARG':
        return this.#arg(content);
      case 'ENV':
        return this.#set(this.image.env, instruction as PropertyInstruction);
      case 'LABEL':
        return this.#set(this.image.labels, instruction as PropertyInstruction);
      case 'WORKDIR':
        this.image.workdir = content;
        mkdirSync(this.#path(content), { recursive: true });
        return;
      case 'COPY':
        return this.#copy(instruction as Copy);
      case 'RUN':
        return this.#run(content);
      case 'USER':
        this.image.user = content;
        return;
      case 'HEALTHCHECK':
        this.image.healthcheck = execForm(content.replace(/^.*?\bCMD\s+/s, ''));
        return;
      case 'ENTRYPOINT':
        this.image.entrypoint = execForm(content);
        return;
      case 'CMD':
        this.image.command = execForm(content);
        return;
      case 'EXPOSE':
        return;
      default:
        throw new Error(`${instruction.getKeyword()} is not known here`);
    }
  }

  #from(from: From): void {
    const base = from.getImage() ?? '';
    const root = join(this.#options.folder, String(this.#stages.size));
    mkdirSync(root);
    const image: Image = { root, base, workdir: '/', user: '', env: {}, labels: {} };
    const stage = this.#stages.get(base);
    if (stage) {
      cpSync(stage.root, root, { recursive: true });
      Object.assign(image, { base: stage.base, workdir: stage.workdir, env: { ...stage.env } });
    }
    this.#stages.set(from.getBuildStage() ?? root, image);
  }

  #arg(content: string): void {
    const [, name = '', value = ''] = /^(\w+)(?:=(.*))?$/.exec(content) ?? [];
    this.#args[name] = value;
  }

  #set(where: Record<string, string>, instruction: PropertyInstruction): void {
    for (const property of instruction.getProperties()) {
      where[property.getName()] = this.#expand(property.getValue() ?? '');
    }
  }

  #copy(copy: Copy): void {
    const stageName = copy.getFromFlag()?.getValue();
    const paths = copy.getArguments().map((argument) => argument.getValue());
    const to = paths.pop() ?? '';
    const from = typeof stageName === 'string' ? this.#stages.get(stageName)?.root : this.#options.context;
    if (from === undefined) throw new Error(`COPY --from=${String(stageName)}: no such stage`);
    for (const path of paths) {
      const source = join(from, path);
      const isFolder = statSync(source).isDirectory();
      const target = to.endsWith('/') && !isFolder ? join(to, basename(path)) : to;
      const filter = (file: string) =>
        from !== this.#options.context || !this.#isIgnored(relative(from, file));
      if (!isFolder && !filter(source)) throw new Error(`COPY ${path}: .dockerignore takes it out`);
      mkdirSync(dirname(this.#path(target)), { recursive: true });
      cpSync(source, this.#path(target), { recursive: true, filter });
      if (!existsSync(this.#path(target))) throw new Error(`COPY ${path}: nothing came`);
    }
  }

  /** The last line that matches a path or one of its parent folders decides. */
  #isIgnored(path: string): boolean {
    const parts = path.split('/');
    const ways = parts.map((_, index) => parts.slice(0, index + 1).join('/'));
    const last = this.#ignored.findLast((line) =>
      ways.some((way) => matchesGlob(way, line.replace('!', ''))),
    );
    return last !== undefined && !last.startsWith('!');
  }

  #run(content: string): void {
    // The build uses the checkout's packages, from the same lock file; only those of the image are installed.
    if (/^npm ci\b/.test(content) && !content.includes('--omit=dev')) {
      symlinkSync(join(this.#options.context, 'node_modules'), this.#path('node_modules'));
      return;
    }
    const command = execForm(content) ?? ['/bin/sh', '-c', content];
    const env = { ...process.env, ...this.image.env, npm_config_prefer_offline: 'true' };
    execFileSync(command[0]!, command.slice(1), { cwd: this.#path('.'), env, stdio: 'pipe' });
  }

  #path(path: string): string {
    return path.startsWith('/')
      ? join(this.image.root, path)
      : join(this.image.root, this.image.workdir, path);
  }

  #expand(text: string): string {
    return text.replace(/\$\{(\w+)\}/g, (_, name: string) => this.#args[name] ?? this.image.env[name] ?? '');
  }
}

function execForm(content: string): readonly string[] | undefined {
  return content.startsWith('[') ? (JSON.parse(content) as string[]) : undefined;
}
