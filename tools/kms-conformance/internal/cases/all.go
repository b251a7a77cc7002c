// Package cases holds what a KMS v2 provider is tested for, one file for each theme.
package cases

import (
	"slices"

	"kms-conformance/internal/conformance"
)

// All gives every case, in the order in which they run: the harmless first, the key's rotation last.
func All() []conformance.Case {
	return slices.Concat(
		statusCases(),
		encryptCases(),
		uidCases(),
		decryptCases(),
		refusalCases(),
		grpcCases(),
		deadlineCases(),
		messageCases(),
		connectionCases(),
		floodCases(),
		kubeAPIServerCases(),
		rotationCases(),
	)
}
