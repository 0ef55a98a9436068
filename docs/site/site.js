/**
 * `npm run docs`: the reference of the JavaScript, from the JSDoc of js/, the manual of the C library, from its header,
 * and the guides, as a static site in build/docs. Ends with an error if anything in it leads nowhere.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Application } from 'typedoc';
import { manualOf } from './manual.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const manual = join(root, 'build/manual/C library.md');
const out = join(root, 'build/docs');

rmSync(dirname(manual), { recursive: true, force: true });
mkdirSync(dirname(manual), { recursive: true });
writeFileSync(manual, manualOf(readFileSync(join(root, 'include/rmsprop.h'), 'utf8')));

const { exports: entries } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const sources = Object.values(entries).map((entry) => entry.import?.default).filter(Boolean);
const app = await Application.bootstrapWithPlugins({
  name: 'rmsprop-wasm',
  entryPoints: sources.map((file) => join(root, file)),
  tsconfig: join(root, 'tsconfig.types.json'),
  // `npm run types` checks them, by another version of the compiler.
  skipErrorChecking: true,
  excludePrivate: true,
  excludeInternal: true,
  disableGit: true,
  sourceLinkTemplate: 'js/{path}',
  disableSources: true,
  readme: join(root, 'README.md'),
  projectDocuments: [manual, join(root, 'docs/*.md'), join(root, 'CHANGELOG.md')],
  highlightLanguages: ['c', 'cmake', 'js', 'sh', 'text', 'ts'],
  // Types of parameters that no entry exports are spelled out where they are used.
  validation: { notExported: false, invalidLink: true, invalidPath: true },
  treatWarningsAsErrors: true,
});
const project = await app.convert();
if (!project) process.exit(1);
app.validate(project);
rmSync(out, { recursive: true, force: true });
if (app.logger.hasErrors() || app.logger.hasWarnings()) process.exit(1);
await app.generateDocs(project, out);
if (app.logger.hasErrors() || app.logger.hasWarnings()) process.exit(1);
