package cases

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/protobuf/proto"
	kmsapi "k8s.io/kms/apis/v2"

	"kms-conformance/internal/conformance"
	"kms-conformance/internal/rawhttp2"
)

const (
	// idleConnections stay below the 1024 open files that many services are limited to.
	idleConnections = 1000
	// idleSessions have sent their preface, and so cost the provider more.
	idleSessions = 200
	// unfinishedCalls stay below 100, the least number of streams that HTTP/2 recommends to allow.
	unfinishedCalls = 90
	churnedClients  = 500
	pings           = 10
	pingInterval    = 20 * time.Millisecond
)

func connectionCases() []conformance.Case {
	return []conformance.Case{
		hostile("http2/garbage", conformance.Spec, "random bytes instead of HTTP/2 end that connection only", testGarbage),
		hostile("http2/http1-request", conformance.Spec, "an HTTP/1.1 request ends that connection only", testHTTP1),
		hostile("http2/idle-connections", conformance.Spec,
			"while 1,000 connections are open that say nothing, others are served", testIdleConnections),
		hostile("http2/idle-sessions", conformance.Spec,
			"while 200 HTTP/2 connections are open without a call, others are served", testIdleSessions),
		hostile("http2/unfinished-calls", conformance.Spec,
			"while a client keeps 90 calls half sent, others are served", testUnfinishedCalls),
		hostile("http2/never-reading-client", conformance.Spec,
			"while a client takes no byte of its answers, others are served", testNeverReading),
		hostile("http2/broken-off", conformance.Spec,
			"after 200 connections that broke off within a message, others are served", testBrokenOff),
		hostile("http2/churn", conformance.Spec,
			"500 clients in turn that connect, call once and leave are all served", testChurn),
		hostile("http2/goaway", conformance.Spec,
			"a call that was under way when its client said GOAWAY is answered", testGoAway),
		hostile("http2/ping", conformance.Spec, "a PING is answered", func(ctx context.Context, bench *conformance.Bench) error {
			return testPings(ctx, bench, 1, 0)
		}),
		hostile("http2/keepalive-pings", conformance.Strict, "a client may send keepalive PINGs, with no call under way, and keep its connection",
			func(ctx context.Context, bench *conformance.Bench) error {
				return testPings(ctx, bench, pings, pingInterval)
			}),
	}
}

// hostile makes a case that sees, after what it did and with its connections still open, that others are served.
func hostile(
	id string, profile conformance.Profile, sentence string,
	attack func(ctx context.Context, bench *conformance.Bench) error,
) conformance.Case {
	return conformance.Case{ID: id, Profile: profile, Sentence: sentence,
		Test: func(ctx context.Context, bench *conformance.Bench) error {
			bystander, err := bench.Bystander(ctx)
			if err != nil {
				return err
			}
			if err := attack(ctx, bench); err != nil {
				return err
			}
			return bystander.StillServed(ctx)
		}}
}

func testGarbage(ctx context.Context, bench *conformance.Bench) error {
	connection, err := bench.Raw(ctx, bench.CallTimeout)
	if err != nil {
		return err
	}
	garbage := append([]byte{0xff}, conformance.NewSeed()...)
	for range 10 {
		if _, err := connection.Socket.Write(garbage); err != nil {
			return nil // The provider has already ended the connection.
		}
	}
	if outcome := connection.AwaitEnd(); outcome.Silent() {
		return conformance.Fail("the connection ends", "it was still open after %v", bench.CallTimeout)
	}
	return nil
}

func testHTTP1(ctx context.Context, bench *conformance.Bench) error {
	connection, err := bench.Raw(ctx, bench.CallTimeout)
	if err != nil {
		return err
	}
	if _, err := connection.Socket.Write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
		return err
	}
	answer, err := io.ReadAll(io.LimitReader(connection.Socket, 64<<10))
	// A server may send its HTTP/2 settings before it has read what we sent: they are no answer.
	if errors.Is(err, os.ErrDeadlineExceeded) && !bytes.HasPrefix(answer, []byte("HTTP/1.")) {
		return conformance.Fail("an HTTP/1.1 answer, or the end of the connection", "neither within %v", bench.CallTimeout)
	}
	return nil
}

func testIdleConnections(ctx context.Context, bench *conformance.Bench) error {
	for opened := range idleConnections {
		if _, err := bench.Raw(ctx, bench.CallTimeout); err != nil {
			return fmt.Errorf("connection %d: %w", opened+1, err)
		}
	}
	return nil
}

func testIdleSessions(ctx context.Context, bench *conformance.Bench) error {
	for opened := range idleSessions {
		connection, err := bench.Raw(ctx, bench.CallTimeout)
		if err == nil {
			err = connection.Start()
		}
		if err != nil {
			return fmt.Errorf("connection %d: %w", opened+1, err)
		}
	}
	return nil
}

func testUnfinishedCalls(ctx context.Context, bench *conformance.Bench) error {
	connection, err := bench.Raw(ctx, bench.CallTimeout)
	if err != nil {
		return err
	}
	if err := connection.Start(); err != nil {
		return err
	}
	for call := range unfinishedCalls {
		stream := uint32(firstStream + 2*call)
		if err := connection.OpenStream(stream, rawhttp2.CallFields(encryptPath), false); err != nil {
			return err
		}
		if err := connection.Send(stream, []byte{0, 0, 0, 0}, false); err != nil {
			return err
		}
	}
	return nil
}

func testNeverReading(ctx context.Context, bench *conformance.Bench) error {
	connection, err := bench.Raw(ctx, bench.CallTimeout)
	if err != nil {
		return err
	}
	if err := connection.Start(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
		return err
	}
	message, err := proto.Marshal(&kmsapi.EncryptRequest{Plaintext: conformance.NewSeed(), Uid: conformance.NewUID()})
	if err != nil {
		return err
	}
	for call := range unfinishedCalls {
		stream := uint32(firstStream + 2*call)
		if err := connection.OpenStream(stream, rawhttp2.CallFields(encryptPath), false); err != nil {
			return err
		}
		if err := connection.Send(stream, rawhttp2.Message(message), true); err != nil {
			return err
		}
	}
	return nil
}

func testBrokenOff(ctx context.Context, bench *conformance.Bench) error {
	for range idleSessions {
		connection, err := bench.Raw(ctx, bench.CallTimeout)
		if err != nil {
			return err
		}
		if err := connection.Start(); err != nil {
			return err
		}
		if err := connection.OpenStream(firstStream, rawhttp2.CallFields(encryptPath), false); err != nil {
			return err
		}
		if err := connection.Send(firstStream, []byte{0, 0, 0}, false); err != nil {
			return err
		}
		if err := connection.Close(); err != nil {
			return err
		}
	}
	return nil
}

func testChurn(ctx context.Context, bench *conformance.Bench) error {
	for turn := range churnedClients {
		client, err := bench.Client()
		if err != nil {
			return err
		}
		if _, err := client.Status(ctx); err != nil {
			return conformance.Fail("each client is served", "client %d: %v", turn+1, err)
		}
		if err := client.Close(); err != nil {
			return err
		}
	}
	return nil
}

func testGoAway(ctx context.Context, bench *conformance.Bench) error {
	seed := conformance.NewSeed()
	call := rawCall{send: func(connection *rawhttp2.Connection, message []byte) error {
		if err := connection.OpenStream(firstStream, rawhttp2.CallFields(encryptPath), false); err != nil {
			return err
		}
		if err := connection.GoAway(); err != nil {
			return err
		}
		return connection.Send(firstStream, rawhttp2.Message(message), true)
	}}
	outcome, err := call.call(ctx, bench, seed)
	if err != nil {
		return err
	}
	return expectEncrypted(ctx, bench, outcome, seed)
}

func testPings(ctx context.Context, bench *conformance.Bench, count int, interval time.Duration) error {
	connection, err := bench.Raw(ctx, bench.CallTimeout+time.Duration(count)*interval)
	if err != nil {
		return err
	}
	if err := connection.Start(); err != nil {
		return err
	}
	for ping := range count {
		if err := connection.Ping([8]byte{byte(ping)}); err != nil {
			return err
		}
		if err := connection.AwaitPongs(ping + 1); err != nil {
			return conformance.Fail("an answer to each PING", "to PING %d: %v", ping+1, err)
		}
		if err := conformance.Pause(ctx, interval); err != nil {
			return err
		}
	}
	seed := conformance.NewSeed()
	outcome, err := encryptOn(connection, firstStream, seed)
	if err != nil {
		return err
	}
	if outcome.GoAwayBy != nil {
		return conformance.Fail("no GOAWAY", "GOAWAY %s", *outcome.GoAwayBy)
	}
	return expectEncrypted(ctx, bench, outcome, seed)
}
