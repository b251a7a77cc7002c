// The repository's own lint rules without the typed ones, for snippets that are in no TypeScript project.
import tseslint from 'typescript-eslint'
import rules from '../../../eslint.config.mjs'

export default [...rules, { files: ['**/*.ts'], ...tseslint.configs.disableTypeChecked }]
