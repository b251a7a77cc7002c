package cases

import (
	"os"
	"slices"
	"strings"
	"testing"

	"kms-conformance/internal/conformance"
)

// brokenProvider breaks one promise.
type brokenProvider struct {
	what string
	// fails are the cases that must fail, and no other.
	fails []string
	serve func(t *testing.T) testee
}

func TestABrokenPromiseFailsItsCasesAndNoOther(t *testing.T) {
	all := slices.Concat(serviceFaults(), rotationFaults(), refusalFaults(), plainFaults(), connectionFaults())
	failing := map[string]bool{}
	t.Run("providers", func(t *testing.T) {
		for _, broken := range all {
			for _, id := range broken.fails {
				failing[id] = true
			}
			t.Run(broken.what, func(t *testing.T) {
				t.Parallel()
				expectFailures(t, runCases(t, broken.serve(t), casesFor(broken)), broken.fails)
			})
		}
	})
	for _, one := range All() {
		if !failing[one.ID] {
			t.Errorf("no broken provider shows that %s can fail", one.ID)
		}
	}
}

// casesFor gives every case if SLOW is set, else those of the themes that the provider should fail in.
func casesFor(broken brokenProvider) []conformance.Case {
	if os.Getenv("SLOW") != "" {
		return All()
	}
	themes := map[string]bool{}
	for _, id := range broken.fails {
		themes[theme(id)] = true
	}
	return slices.DeleteFunc(All(), func(one conformance.Case) bool { return !themes[theme(one.ID)] })
}

func theme(id string) string {
	before, _, _ := strings.Cut(id, "/")
	return before
}
