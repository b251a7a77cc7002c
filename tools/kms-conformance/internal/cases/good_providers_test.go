package cases

import (
	"testing"

	"kms-conformance/internal/conformance"
)

func TestTheReferencePassesEveryCase(t *testing.T) {
	own := newService(t)
	report := runAll(t, serveReference(t, own, own))
	expectFailures(t, report, nil)
	if report.Skipped != 0 {
		t.Errorf("%d cases were skipped", report.Skipped)
	}
}

// A second server, of another HTTP/2 implementation, keeps the cases from demanding what only grpc-go does.
func TestAServerOfNetHTTPPassesEveryCase(t *testing.T) {
	own := newService(t)
	report := runAll(t, servePlain(t, own, keepsPromises))
	expectFailures(t, report, nil)
	if report.Skipped != 0 {
		t.Errorf("%d cases were skipped", report.Skipped)
	}
}

func TestCaseIDsAreUniqueAndHaveATheme(t *testing.T) {
	seen := map[string]bool{}
	for _, one := range All() {
		if seen[one.ID] {
			t.Errorf("two cases are named %s", one.ID)
		}
		seen[one.ID] = true
		if one.Profile != conformance.Spec && one.Profile != conformance.Strict {
			t.Errorf("%s has no profile", one.ID)
		}
		if one.Sentence == "" || one.Test == nil {
			t.Errorf("%s says or tests nothing", one.ID)
		}
	}
}

func TestWithoutARotateCommandRotationIsSkippedAndNotPassed(t *testing.T) {
	own := newService(t)
	of := serveReference(t, own, own)
	of.rotate = nil
	report := conformance.Run(t.Context(), settingsFor(of), conformance.Spec, rotationCases(), func(conformance.Result) {})
	if report.Skipped != len(report.Results) || report.AllPassed() {
		t.Errorf("%d of %d cases were skipped", report.Skipped, len(report.Results))
	}
}
