package command

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kms-conformance/internal/cases"
	"kms-conformance/internal/conformance"
	"kms-conformance/internal/load"
	"kms-conformance/internal/provider"
)

// run carries out a command line and gives the exit code and what it wrote.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Execute(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// serveReference runs serve-reference until the test ends.
func serveReference(t *testing.T) (socketPath string) {
	t.Helper()
	folder, err := os.MkdirTemp("", "kms-")
	if err != nil {
		t.Fatal(err)
	}
	socketPath = filepath.Join(folder, "s")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	var stderr bytes.Buffer
	go func() { ended <- Execute(ctx, []string{"serve-reference", "--socket", socketPath}, &stderr, &stderr) }()
	t.Cleanup(func() {
		cancel()
		if code := <-ended; code != ExitPassed {
			t.Errorf("serve-reference ended with %d: %s", code, stderr.String())
		}
		_ = os.RemoveAll(folder)
	})
	return socketPath
}

func TestExitCodes(t *testing.T) {
	socket := serveReference(t)
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	for _, one := range []struct {
		what string
		code int
		args []string
	}{
		{"a case that passes", ExitPassed, []string{"run", "--socket", socket, "--run", "^status/version$"}},
		{"a rotation that fails", ExitFailed, []string{"run", "--socket", socket, "--run", "^rotation/key-id-changes$", "--rotate-command", "exit 1"}},
		{"nothing but skipped cases", ExitFailed, []string{"run", "--socket", socket, "--run", "^rotation/"}},
		{"a load", ExitPassed, []string{"load", "--socket", socket, "--mixed", "--count", "100", "--callers", "4"}},
		{"a cold start", ExitPassed, []string{"cold-start", "--socket", socket, "--seeds", "3", "--objects", "7", "--repeat", "2"}},
		{"help", ExitPassed, []string{"--help"}},
		{"no socket", ExitUsage, []string{"run"}},
		{"an unknown command", ExitUsage, []string{"walk"}},
		{"an unknown flag", ExitUsage, []string{"run", "--socket", socket, "--fast"}},
		{"a word too many", ExitUsage, []string{"run", "--socket", socket, "now"}},
		{"an unknown profile", ExitUsage, []string{"run", "--socket", socket, "--profile", "lax"}},
		{"a broken expression", ExitUsage, []string{"run", "--socket", socket, "--run", "("}},
		{"an expression that matches nothing", ExitUsage, []string{"run", "--socket", socket, "--run", "nothing"}},
		{"no operation", ExitUsage, []string{"load", "--socket", socket}},
		{"two ways to say the operation", ExitUsage, []string{"load", "--socket", socket, "--mixed", "--operation", "status"}},
		{"more connections than callers", ExitUsage, []string{"load", "--socket", socket, "--mixed", "--connections", "2"}},
		{"fewer objects than seeds", ExitUsage, []string{"cold-start", "--socket", socket, "--seeds", "2", "--objects", "1"}},
		{"nobody listening for run", ExitUnreachable, []string{"run", "--socket", nowhere, "--wait", "10ms"}},
		{"nobody listening for load", ExitUnreachable, []string{"load", "--socket", nowhere, "--wait", "10ms", "--mixed"}},
		{"nobody listening for cold-start", ExitUnreachable, []string{"cold-start", "--socket", nowhere, "--wait", "10ms"}},
		{"a socket that exists", ExitFailed, []string{"serve-reference", "--socket", socket}},
		{"a folder without vectors", ExitFailed, []string{"vectors", "verify", "--folder", nowhere}},
	} {
		if code, stdout, stderr := run(t, one.args...); code != one.code {
			t.Errorf("%s: exit code %d instead of %d\n%s%s", one.what, code, one.code, stdout, stderr)
		}
	}
}

func TestSomethingThatIsNoProviderFailsAndIsNotUnreachable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	if code, stdout, _ := run(t, "run", "--socket", path, "--run", "^status/version$", "--timeout", "50ms"); code != ExitFailed {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
}

func TestTheJSONReportHoldsEveryCaseThatRan(t *testing.T) {
	socket := serveReference(t)
	junit := filepath.Join(t.TempDir(), "junit.xml")
	code, stdout, stderr := run(t, "run", "--socket", socket, "--profile", "strict", "--run", "^(status|rotation)/", "--json", "--junit", junit)
	if code != ExitPassed {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var report conformance.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatal(err)
	}
	if report.Profile != conformance.Strict || report.Passed != 6 || report.Skipped != 5 || report.Failed != 0 || len(report.Results) != 11 {
		t.Errorf("the report says %+v", report)
	}
	content, err := os.ReadFile(junit)
	if err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Tests   int `xml:"tests,attr"`
		Skipped int `xml:"skipped,attr"`
		Cases   []struct {
			Name string `xml:"name,attr"`
		} `xml:"testcase"`
	}
	if err := xml.Unmarshal(content, &suite); err != nil {
		t.Fatal(err)
	}
	if suite.Tests != 11 || suite.Skipped != 5 || len(suite.Cases) != 11 || suite.Cases[0].Name != "status/version" {
		t.Errorf("the JUnit file says %+v", suite)
	}
}

func TestTheSpecProfileLeavesStrictCasesOut(t *testing.T) {
	_, spec, _ := run(t, "run", "--socket", "unused", "--list")
	_, strict, _ := run(t, "run", "--socket", "unused", "--list", "--profile", "strict")
	if strings.Contains(spec, " strict ") || !strings.Contains(strict, " strict ") {
		t.Error("the profiles do not differ as they should")
	}
	if lines := strings.Count(strict, "\n"); lines != len(cases.All()) {
		t.Errorf("strict lists %d of %d cases", lines, len(cases.All()))
	}
}

func TestALoadReportsEachOperation(t *testing.T) {
	socket := serveReference(t)
	_, stdout, _ := run(t, "load", "--socket", socket, "--mixed", "--count", "400", "--callers", "8", "--connections", "2", "--warm-up", "10ms", "--json")
	var report load.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatal(err)
	}
	if report.Calls != 400 || report.Wrong != 0 || len(report.Operations) != len(load.Operations) {
		t.Errorf("the report says %+v", report)
	}
	for _, operation := range report.Operations {
		if operation.Calls == 0 || operation.P50Ms <= 0 || operation.MaxMs < operation.P99Ms || operation.P99Ms < operation.P50Ms {
			t.Errorf("the report says %+v", operation)
		}
		code := "OK"
		if operation.Operation == load.BadDecrypt {
			code = "InvalidArgument"
		}
		if operation.Codes[code] != operation.Calls {
			t.Errorf("%s: codes %v", operation.Operation, operation.Codes)
		}
	}
}

func TestGeneratedVectorsAreNeverOverwritten(t *testing.T) {
	folder := t.TempDir()
	if code, _, stderr := run(t, "vectors", "generate", "--folder", folder); code != ExitPassed {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if code, stdout, stderr := run(t, "vectors", "verify", "--folder", folder); code != ExitPassed {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	if err := os.WriteFile(filepath.Join(folder, "objects.json"), []byte("[]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, _ := run(t, "vectors", "generate", "--folder", folder); code != ExitFailed {
		t.Errorf("exit code %d", code)
	}
}

func TestASocketIsItsOwnersOnly(t *testing.T) {
	socket := serveReference(t)
	if err := provider.AwaitListener(t.Context(), socket, 5e9); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(socket)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("mode %o", mode)
	}
}
