export { judge, type Verdict } from './judge.ts'
export {
  CONTROL_PATHS,
  parseProbeView,
  parseStatusView,
  viewSealHealth,
  type KeyringView,
  type OpenBaoView,
  type ProbeView,
  type SealHealthView,
  type SealView,
  type StatusView,
} from './status.ts'
