export { printsOf, spellingsOf } from './printing.ts'
export { readReadmeExamples, type ReadmeExamples } from './readme-examples.ts'
