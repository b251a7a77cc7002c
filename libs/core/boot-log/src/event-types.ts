/** Events that are not extended into any PCR (TCG PC Client Platform Firmware Profile, table "Events"). */
export const EV_NO_ACTION = 0x3
const EV_SEPARATOR = 0x4
const EV_ACTION = 0x5
const EV_IPL = 0xd
const EV_EFI_VARIABLE_DRIVER_CONFIG = 0x8000_0001
const EV_EFI_VARIABLE_BOOT = 0x8000_0002
const EV_EFI_ACTION = 0x8000_0007
const EV_EFI_VARIABLE_BOOT2 = 0x8000_000c
const EV_EFI_VARIABLE_AUTHORITY = 0x8000_00e0

/** Event types by number, in the specification's spelling. */
const NAMES: ReadonlyMap<number, string> = new Map([
  [0x0, 'EV_PREBOOT_CERT'],
  [0x1, 'EV_POST_CODE'],
  [EV_NO_ACTION, 'EV_NO_ACTION'],
  [EV_SEPARATOR, 'EV_SEPARATOR'],
  [EV_ACTION, 'EV_ACTION'],
  [0x6, 'EV_EVENT_TAG'],
  [0x7, 'EV_S_CRTM_CONTENTS'],
  [0x8, 'EV_S_CRTM_VERSION'],
  [0x9, 'EV_CPU_MICROCODE'],
  [0xa, 'EV_PLATFORM_CONFIG_FLAGS'],
  [0xb, 'EV_TABLE_OF_DEVICES'],
  [0xc, 'EV_COMPACT_HASH'],
  [EV_IPL, 'EV_IPL'],
  [0xe, 'EV_IPL_PARTITION_DATA'],
  [0xf, 'EV_NONHOST_CODE'],
  [0x10, 'EV_NONHOST_CONFIG'],
  [0x11, 'EV_NONHOST_INFO'],
  [0x12, 'EV_OMIT_BOOT_DEVICE_EVENTS'],
  [0x13, 'EV_POST_CODE2'],
  [EV_EFI_VARIABLE_DRIVER_CONFIG, 'EV_EFI_VARIABLE_DRIVER_CONFIG'],
  [EV_EFI_VARIABLE_BOOT, 'EV_EFI_VARIABLE_BOOT'],
  [0x8000_0003, 'EV_EFI_BOOT_SERVICES_APPLICATION'],
  [0x8000_0004, 'EV_EFI_BOOT_SERVICES_DRIVER'],
  [0x8000_0005, 'EV_EFI_RUNTIME_SERVICES_DRIVER'],
  [0x8000_0006, 'EV_EFI_GPT_EVENT'],
  [EV_EFI_ACTION, 'EV_EFI_ACTION'],
  [0x8000_0008, 'EV_EFI_PLATFORM_FIRMWARE_BLOB'],
  [0x8000_0009, 'EV_EFI_HANDOFF_TABLES'],
  [0x8000_000a, 'EV_EFI_PLATFORM_FIRMWARE_BLOB2'],
  [0x8000_000b, 'EV_EFI_HANDOFF_TABLES2'],
  [EV_EFI_VARIABLE_BOOT2, 'EV_EFI_VARIABLE_BOOT2'],
  [0x8000_000d, 'EV_EFI_GPT_EVENT2'],
  [0x8000_0010, 'EV_EFI_HCRTM_EVENT'],
  [EV_EFI_VARIABLE_AUTHORITY, 'EV_EFI_VARIABLE_AUTHORITY'],
  [0x8000_00e1, 'EV_EFI_SPDM_FIRMWARE_BLOB'],
  [0x8000_00e2, 'EV_EFI_SPDM_FIRMWARE_CONFIG'],
])

/** Types whose data begins with the name of an EFI variable: UEFI_VARIABLE_DATA. */
export const VARIABLE_TYPES: ReadonlySet<number> = new Set([
  EV_EFI_VARIABLE_DRIVER_CONFIG,
  EV_EFI_VARIABLE_BOOT,
  EV_EFI_VARIABLE_BOOT2,
  EV_EFI_VARIABLE_AUTHORITY,
])

/** Types whose data is text: UTF-8, or UTF-16 from boot loaders. */
export const TEXT_TYPES: ReadonlySet<number> = new Set([EV_ACTION, EV_IPL, EV_EFI_ACTION])

/** The name of an event type; its number for one that we do not know. */
export function eventTypeName(eventType: number): string {
  return NAMES.get(eventType) ?? `0x${eventType.toString(16).padStart(8, '0')}`
}
