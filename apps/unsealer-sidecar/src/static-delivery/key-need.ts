import { type OpenBaoView } from '@sealwright/control-api'

/** What the server that was looked at needs: see `StaticDeliveryRun.openBaoNeed`. */
export function keyNeedOf(view: OpenBaoView | undefined): 'key' | 'nothing' | 'unknown' {
  switch (view?.state) {
    case 'active':
    case 'standby':
      return 'nothing'
    case 'sealed':
    case 'uninitialised':
      return 'key'
    case 'unreachable':
      // Nobody listens, so no server runs that could be unsealed. Any other failure may be one that somebody brought about.
      return view.code === 'OPENBAO_UNREACHABLE' ? 'key' : 'unknown'
    case 'not-configured':
    case undefined:
      return 'unknown'
  }
}
