package cases

import (
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"kms-conformance/internal/conformance"
)

// notNow are the codes of a server that could not tell, or of no server at all. They are not a refusal.
var notNow = []codes.Code{codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Unimplemented}

// expectCode takes the codes that are allowed.
func expectCode(got *status.Status, allowed ...codes.Code) error {
	if slices.Contains(allowed, got.Code()) {
		return nil
	}
	return conformance.Fail(nameCodes(allowed), "%s: %s", got.Code(), got.Message())
}

// expectRefusal takes every code that says no.
func expectRefusal(got *status.Status) error {
	if got.Code() == codes.OK {
		return conformance.Fail("a refusal", "success")
	}
	if slices.Contains(notNow, got.Code()) {
		return conformance.Fail("a refusal", "%s: %s", got.Code(), got.Message())
	}
	return nil
}

func nameCodes(allowed []codes.Code) string {
	var names []string
	for _, code := range allowed {
		names = append(names, code.String())
	}
	return strings.Join(names, " or ")
}
