package cases

import (
	"context"
	"errors"
	"flag"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"k8s.io/kms/pkg/service"

	"kms-conformance/internal/conformance"
	"kms-conformance/internal/provider"
	"kms-conformance/internal/reference"
)

// runsAtOnce may be more than there are processors: most of a run's time is waiting.
const runsAtOnce = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", runsAtOnce); err != nil {
		panic(err)
	}
	provider.SilenceKubeAPIServer()
	os.Exit(m.Run())
}

// server is whatever serves a listener: gRPC's own, or the one made of net/http.
type server interface {
	Serve(listener net.Listener) error
	Stop()
}

// testee is a provider under test, and the way to rotate its key.
type testee struct {
	socketPath string
	rotate     func(ctx context.Context) error
}

// listen gives a listener on a short path: a socket's path has 107 bytes at most, and t.TempDir puts the test's name into it.
func listen(t *testing.T) (net.Listener, string) {
	t.Helper()
	folder, err := os.MkdirTemp("", "kms-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	path := filepath.Join(folder, "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	return listener, path
}

func start(t *testing.T, server server, listener net.Listener) {
	t.Helper()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, grpc.ErrServerStopped) {
			t.Errorf("the server ended with %v", err)
		}
	})
}

func newService(t *testing.T) *reference.Service {
	t.Helper()
	made, err := reference.NewService(0)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// serveReference serves a provider by the reference server.
func serveReference(t *testing.T, own *reference.Service, provider service.Service, options ...grpc.ServerOption) testee {
	t.Helper()
	listener, path := listen(t)
	start(t, reference.NewServer(provider, options...), listener)
	return testee{socketPath: path, rotate: func(context.Context) error { return own.Rotate() }}
}

func settingsFor(of testee) conformance.Settings {
	return conformance.Settings{
		SocketPath:       of.socketPath,
		CallTimeout:      3 * time.Second,
		CaseTimeout:      time.Minute,
		SlowestRefusal:   time.Second,
		LargestPlaintext: 64,
		ForbiddenTexts:   []string{"secret-key-name"},
		Rotate:           of.rotate,
		RotationPatience: time.Second,
		RotationWatch:    300 * time.Millisecond,
	}
}

// runAll runs every case, and gives the report.
func runAll(t *testing.T, of testee) *conformance.Report {
	t.Helper()
	return runCases(t, of, All())
}

func runCases(t *testing.T, of testee, cases []conformance.Case) *conformance.Report {
	t.Helper()
	report := conformance.Run(t.Context(), settingsFor(of), conformance.Strict, cases, func(conformance.Result) {})
	if report.Interrupted || len(report.Results) != len(cases) {
		t.Fatalf("only %d of %d cases ran", len(report.Results), len(cases))
	}
	return report
}

// expectFailures sees that exactly these cases fail.
func expectFailures(t *testing.T, report *conformance.Report, expected []string) {
	t.Helper()
	for _, result := range report.Results {
		failed := result.Outcome == conformance.Failed
		if failed == slices.Contains(expected, result.ID) {
			continue
		}
		if failed {
			t.Errorf("%s failed: expected %s; got %s", result.ID, result.Expected, result.Got)
		} else {
			t.Errorf("%s %s, though its promise is broken", result.ID, result.Outcome)
		}
	}
}
