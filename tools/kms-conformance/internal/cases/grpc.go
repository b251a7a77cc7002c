package cases

import (
	"context"
	"slices"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

	"kms-conformance/internal/conformance"
	"kms-conformance/internal/rawhttp2"
)

// smallWindowBytes is a flow-control window that no answer fits into.
const smallWindowBytes = 7

func grpcCases() []conformance.Case {
	var all []conformance.Case
	for _, call := range slices.Concat(goodCalls, badCompression, badMessages, badHeaders) {
		all = append(all, call.toCase())
	}
	return append(all, badPathCase())
}

var goodCalls = []rawCall{
	goodCall,
	{
		id: "grpc/many-data-frames", profile: conformance.Spec,
		sentence: "a message may come in many DATA frames, one byte in each, its prefix too",
		send: func(connection *rawhttp2.Connection, message []byte) error {
			return sendParts(connection, eachByte(rawhttp2.Message(message)))
		},
	},
	{
		id: "grpc/empty-data-frames", profile: conformance.Spec,
		sentence: "empty DATA frames before, within and after a message change nothing",
		send: func(connection *rawhttp2.Connection, message []byte) error {
			data := rawhttp2.Message(message)
			return sendParts(connection, [][]byte{{}, data[:3], {}, data[3:20], {}, data[20:], {}})
		},
	},
	{
		id: "grpc/padded-data-frames", profile: conformance.Spec,
		sentence: "a DATA frame may be padded",
		send: func(connection *rawhttp2.Connection, message []byte) error {
			if err := connection.OpenStream(firstStream, rawhttp2.CallFields(encryptPath), false); err != nil {
				return err
			}
			return connection.SendPadded(firstStream, rawhttp2.Message(message), 200, true)
		},
	},
	{
		id: "grpc/unknown-fields", profile: conformance.Spec,
		sentence: "fields that the message does not have are passed over",
		send: func(connection *rawhttp2.Connection, message []byte) error {
			return sendCall(connection, rawhttp2.Message(withUnknownFields(message)))
		},
	},
	{
		id: "grpc/unknown-headers", profile: conformance.Spec,
		sentence: "header fields that the provider does not know are passed over",
		send: func(connection *rawhttp2.Connection, message []byte) error {
			return sendCall(connection, rawhttp2.Message(message),
				rawhttp2.Field{Name: "x-kms-conformance", Value: "1"},
				rawhttp2.Field{Name: "x-kms-conformance-bin", Value: "AAEC"},
				rawhttp2.Field{Name: "grpc-accept-encoding", Value: "gzip,deflate"},
				rawhttp2.Field{Name: "user-agent", Value: "grpc-go/1.81.1"})
		},
	},
	{
		id: "grpc/content-type-proto", profile: conformance.Spec,
		sentence: "content-type application/grpc+proto is the same as application/grpc",
		send: func(connection *rawhttp2.Connection, message []byte) error {
			return sendCall(connection, rawhttp2.Message(message), rawhttp2.Field{Name: "content-type", Value: "application/grpc+proto"})
		},
	},
	{
		id: "grpc/small-window", profile: conformance.Spec,
		sentence: "an answer is sent bit by bit to a client with a flow-control window of 7 bytes",
		settings: func(connection *rawhttp2.Connection) error {
			return connection.Start(http2.Setting{ID: http2.SettingInitialWindowSize, Val: smallWindowBytes})
		},
		send: func(connection *rawhttp2.Connection, message []byte) error {
			return sendCall(connection, rawhttp2.Message(message))
		},
		judge: func(outcome *rawhttp2.Outcome) error {
			if _, err := outcome.Payload(); err != nil {
				return conformance.Fail("success", "%s", outcome)
			}
			if outcome.LargestData > smallWindowBytes {
				return conformance.Fail("DATA frames of at most 7 bytes", "one of %d", outcome.LargestData)
			}
			return nil
		},
	},
}

var badCompression = []rawCall{
	{
		id: "grpc/compressed-message", profile: conformance.Spec,
		sentence: "a gzip message is answered, or refused with UNIMPLEMENTED",
		send:     sendGzip,
		judge: func(outcome *rawhttp2.Outcome) error {
			_, errPlain := outcome.Payload()
			_, errGzip := outcome.GzipPayload()
			if errPlain == nil || errGzip == nil {
				return nil
			}
			return refusedWith(codes.Unimplemented)(outcome)
		},
	},
	{
		id: "grpc/compressed-message/code", profile: conformance.Strict,
		sentence: "a gzip message is refused with UNIMPLEMENTED: kube-apiserver sends none, and none can blow up",
		send:     sendGzip,
		judge:    refusedWith(codes.Unimplemented),
	},
	{
		id: "grpc/unknown-compression", profile: conformance.Spec,
		sentence: "a message in a compression that nobody knows is refused with UNIMPLEMENTED",
		send: func(connection *rawhttp2.Connection, message []byte) error {
			return sendCall(connection, rawhttp2.MessageClaiming(message, uint32(len(message)), true),
				rawhttp2.Field{Name: "grpc-encoding", Value: "kms-conformance"})
		},
		judge: refusedWith(codes.Unimplemented),
	},
	{
		id: "grpc/compressed-flag-alone", profile: conformance.Spec,
		sentence: "a message flagged as compressed without grpc-encoding is refused",
		send: func(connection *rawhttp2.Connection, message []byte) error {
			return sendCall(connection, rawhttp2.MessageClaiming(message, uint32(len(message)), true))
		},
		judge: refused,
	},
	{
		id: "grpc/unknown-flag", profile: conformance.Strict,
		sentence: "a message with a flag other than 0 and 1 is refused",
		send: func(connection *rawhttp2.Connection, message []byte) error {
			data := rawhttp2.Message(message)
			data[0] = 2
			return sendCall(connection, data)
		},
		judge: refused,
	},
}

func sendGzip(connection *rawhttp2.Connection, message []byte) error {
	compressed, err := rawhttp2.Gzip(message)
	if err != nil {
		return err
	}
	return sendCall(connection, rawhttp2.MessageClaiming(compressed, uint32(len(compressed)), true),
		rawhttp2.Field{Name: "grpc-encoding", Value: "gzip"})
}

var badMessages = []rawCall{
	{
		id: "grpc/two-messages", profile: conformance.Strict,
		sentence: "two messages in one call are refused",
		send: func(connection *rawhttp2.Connection, message []byte) error {
			return sendCall(connection, slices.Concat(rawhttp2.Message(message), rawhttp2.Message(message)))
		},
		judge: refused,
	},
	{
		id: "grpc/one-message-and-a-part", profile: conformance.Strict,
		sentence: "a message followed by a part of another is refused",
		send: func(connection *rawhttp2.Connection, message []byte) error {
			return sendCall(connection, slices.Concat(rawhttp2.Message(message), rawhttp2.MessageClaiming(message[:2], 9, false)))
		},
		judge: refused,
	},
	{
		id: "grpc/no-message", profile: conformance.Strict,
		sentence: "a call without a message is refused",
		send: func(connection *rawhttp2.Connection, _ []byte) error {
			// END_STREAM comes after HEADERS, as clients send it: with it on HEADERS, grpc-go 1.81 never answers.
			return sendCall(connection, nil)
		},
		judge: refused,
	},
	{
		id: "grpc/truncated-message", profile: conformance.Spec,
		sentence: "a message that ends before its length is refused",
		send: func(connection *rawhttp2.Connection, message []byte) error {
			return sendCall(connection, rawhttp2.MessageClaiming(message, uint32(len(message)+1), false))
		},
		judge: refused,
	},
	{
		id: "grpc/truncated-prefix", profile: conformance.Spec,
		sentence: "a message that ends within its prefix is refused",
		send: func(connection *rawhttp2.Connection, message []byte) error {
			return sendCall(connection, rawhttp2.Message(message)[:rawhttp2.PrefixBytes-2])
		},
		judge: refused,
	},
	{
		id: "grpc/huge-length", profile: conformance.Strict,
		sentence: "a message that claims 4 GiB is refused before its bytes have come",
		send: func(connection *rawhttp2.Connection, message []byte) error {
			if err := connection.OpenStream(firstStream, rawhttp2.CallFields(encryptPath), false); err != nil {
				return err
			}
			return connection.Send(firstStream, rawhttp2.MessageClaiming(message, 1<<32-1, false), false)
		},
		judge: refused,
	},
	{
		id: "grpc/not-protobuf", profile: conformance.Spec,
		sentence: "bytes that are not a Protocol Buffers message are refused",
		send: func(connection *rawhttp2.Connection, _ []byte) error {
			return sendCall(connection, rawhttp2.Message([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")))
		},
		judge: refused,
	},
	{
		id: "grpc/field-past-end", profile: conformance.Spec,
		sentence: "a message with a field that is longer than the message is refused",
		send: func(connection *rawhttp2.Connection, message []byte) error {
			return sendCall(connection, rawhttp2.Message(message[:len(message)-1]))
		},
		judge: refused,
	},
	{
		id: "grpc/uid-not-utf8", profile: conformance.Strict,
		sentence: "a string that is not UTF-8 is refused, as the language of the protocol file demands",
		send: func(connection *rawhttp2.Connection, message []byte) error {
			const uidField = 2
			broken := protowire.AppendTag(slices.Clone(message), uidField, protowire.BytesType)
			return sendCall(connection, rawhttp2.Message(protowire.AppendBytes(broken, []byte{0xc3, 0x28})))
		},
		judge: refused,
	},
}

var badHeaders = []rawCall{
	headerCall("grpc/wrong-content-type", "content-type text/plain is refused", rawhttp2.Field{Name: "content-type", Value: "text/plain"}),
	headerCall("grpc/no-content-type", "a call without content-type is refused", rawhttp2.Field{Name: "content-type"}),
	headerCall("grpc/similar-content-type", "content-type application/grpcx is refused", rawhttp2.Field{Name: "content-type", Value: "application/grpcx"}),
	headerCall("grpc/get-request", "a GET is refused", rawhttp2.Field{Name: ":method", Value: "GET"}),
	unimplementedCall("grpc/unknown-method", "an unknown method is UNIMPLEMENTED", "/v2.KeyManagementService/Rotate"),
	unimplementedCall("grpc/unknown-service", "an unknown service is UNIMPLEMENTED", "/kmsconformance.v9.NoSuchService/Status"),
}

func headerCall(id, sentence string, changed rawhttp2.Field) rawCall {
	return rawCall{id: id, profile: conformance.Spec, sentence: sentence, judge: refused,
		send: func(connection *rawhttp2.Connection, message []byte) error {
			return sendCall(connection, rawhttp2.Message(message), changed)
		}}
}

func unimplementedCall(id, sentence, path string) rawCall {
	return rawCall{id: id, profile: conformance.Spec, sentence: sentence, judge: refusedWith(codes.Unimplemented),
		send: func(connection *rawhttp2.Connection, message []byte) error {
			return sendCall(connection, rawhttp2.Message(message), rawhttp2.Field{Name: ":path", Value: path})
		}}
}

// badPaths are near misses of a real one.
var badPaths = []string{
	"/", "//", "nope", "*", "/v2.KeyManagementService", "/v2.KeyManagementService/", "/v2.KeyManagementService//Encrypt",
	encryptPath + "/", encryptPath + "?x=1", encryptPath + "%20", "/v2.keymanagementservice/encrypt", "/x/../v2.KeyManagementService/Encrypt",
	"http://localhost" + encryptPath, "/" + encryptPath,
}

func badPathCase() conformance.Case {
	return conformance.Case{
		ID: "grpc/bad-path", Profile: conformance.Spec,
		Sentence: "paths that nearly name a method are refused",
		Test: func(ctx context.Context, bench *conformance.Bench) error {
			bystander, err := bench.Bystander(ctx)
			if err != nil {
				return err
			}
			if err := expectGoodCall(ctx, bench); err != nil {
				return err
			}
			for _, path := range badPaths {
				outcome, err := headerCall("", "", rawhttp2.Field{Name: ":path", Value: path}).call(ctx, bench, conformance.NewSeed())
				if err != nil {
					return err
				}
				if err := refused(outcome); err != nil {
					return conformance.At(err, "path %q", path)
				}
			}
			return bystander.StillServed(ctx)
		},
	}
}
