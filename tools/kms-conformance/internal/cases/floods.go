package cases

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/protobuf/proto"
	kmsapi "k8s.io/kms/apis/v2"

	"kms-conformance/internal/conformance"
	"kms-conformance/internal/rawhttp2"
)

const (
	// floodFrames is what the known attacks send within a fraction of a second.
	floodFrames = 20_000
	// floodTime ends a flood that the provider no longer reads: that is a defence, too.
	floodTime = time.Second
	// headerListBytes is far above the 16 KiB that servers take for a header list.
	headerListBytes = 1 << 20
	headerFields    = 64
	// continuations of 8 KiB each are 16 MiB in all.
	continuations     = 2000
	continuationBytes = 8 << 10
)

func floodCases() []conformance.Case {
	return []conformance.Case{
		flood("http2/settings-flood", "while a client sends 20,000 SETTINGS and reads nothing, others are served",
			func(connection *rawhttp2.Connection, frame int) error {
				return connection.Settings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 16<<10 + uint32(frame%2)})
			}),
		flood("http2/ping-flood", "while a client sends 20,000 PINGs and reads nothing, others are served",
			func(connection *rawhttp2.Connection, _ int) error { return connection.Ping([8]byte{1}) }),
		flood("http2/rapid-reset", "while a client opens and cancels 20,000 calls, others are served",
			func(connection *rawhttp2.Connection, frame int) error {
				stream := uint32(firstStream + 2*frame)
				if err := connection.OpenStream(stream, rawhttp2.CallFields(encryptPath), false); err != nil {
					return err
				}
				return connection.Reset(stream)
			}),
		flood("http2/empty-data-flood", "while a client sends 20,000 empty DATA frames, others are served",
			func(connection *rawhttp2.Connection, frame int) error {
				if frame == 0 {
					return connection.OpenStream(firstStream, rawhttp2.CallFields(encryptPath), false)
				}
				return connection.Send(firstStream, nil, false)
			}),
		flood("http2/continuation-flood", "while a client sends 16 MiB of header fields in CONTINUATIONs without an end, others are served",
			func(connection *rawhttp2.Connection, frame int) error {
				if frame == 0 {
					return connection.OpenHeaders(firstStream, rawhttp2.CallFields(encryptPath))
				}
				if frame > continuations {
					return nil
				}
				return connection.Continue(firstStream, []rawhttp2.Field{{
					Name: fmt.Sprintf("x-%d", frame), Value: strings.Repeat("v", continuationBytes),
				}})
			}),
		hostile("http2/large-header-list", conformance.Strict, "a call with 1 MB of header fields is refused", testLargeHeaderList),
	}
}

func flood(id, sentence string, send func(connection *rawhttp2.Connection, frame int) error) conformance.Case {
	return hostile(id, conformance.Spec, sentence, func(ctx context.Context, bench *conformance.Bench) error {
		connection, err := bench.Raw(ctx, floodTime)
		if err != nil {
			return err
		}
		if err := connection.Start(); err != nil {
			return err
		}
		sent := 0
		for ; sent < floodFrames; sent++ {
			// The provider may end the connection, or stop reading.
			if err := send(connection, sent); err != nil {
				break
			}
		}
		bench.Measure("framesTaken", float64(sent))
		return nil
	})
}

func testLargeHeaderList(ctx context.Context, bench *conformance.Bench) error {
	connection, err := bench.Raw(ctx, bench.CallTimeout)
	if err != nil {
		return err
	}
	if err := connection.Start(); err != nil {
		return err
	}
	var fields []rawhttp2.Field
	for index := range headerFields {
		fields = append(fields, rawhttp2.Field{Name: fmt.Sprintf("x-%d", index), Value: strings.Repeat("v", headerListBytes/headerFields)})
	}
	message, err := proto.Marshal(&kmsapi.EncryptRequest{Plaintext: conformance.NewSeed(), Uid: conformance.NewUID()})
	if err != nil {
		return err
	}
	// The provider may end the connection before it has read all: then writing fails, and the answer says so.
	if err := connection.OpenStream(firstStream, rawhttp2.CallFields(encryptPath, fields...), false); err == nil {
		_ = connection.Send(firstStream, rawhttp2.Message(message), true)
	}
	return refused(connection.Await(firstStream))
}
