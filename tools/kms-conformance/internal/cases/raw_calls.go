package cases

import (
	"bytes"
	"context"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	kmsapi "k8s.io/kms/apis/v2"

	"kms-conformance/internal/conformance"
	"kms-conformance/internal/rawhttp2"
)

const (
	encryptPath = "/v2.KeyManagementService/Encrypt"
	firstStream = 1
)

// rawCall is a call made by hand, frame by frame, on a connection of its own.
type rawCall struct {
	id       string
	profile  conformance.Profile
	sentence string
	// send sends the call on the first stream. The message is a good EncryptRequest without its prefix.
	send func(connection *rawhttp2.Connection, message []byte) error
	// judge looks at the answer; nil means that the call must succeed.
	judge func(outcome *rawhttp2.Outcome) error
	// settings are those that our side sends.
	settings func(connection *rawhttp2.Connection) error
}

// goodCall is the call that the others change.
var goodCall = rawCall{
	id: "grpc/one-data-frame", profile: conformance.Spec,
	sentence: "a call made by hand is answered like any other",
	send: func(connection *rawhttp2.Connection, message []byte) error {
		return sendCall(connection, rawhttp2.Message(message))
	},
}

func (c rawCall) toCase() conformance.Case {
	return conformance.Case{ID: c.id, Profile: c.profile, Sentence: c.sentence,
		Test: func(ctx context.Context, bench *conformance.Bench) error {
			bystander, err := bench.Bystander(ctx)
			if err != nil {
				return err
			}
			// Without this a provider that refuses every call made by hand would pass.
			if err := expectGoodCall(ctx, bench); err != nil {
				return err
			}
			seed := conformance.NewSeed()
			outcome, err := c.call(ctx, bench, seed)
			if err != nil {
				return err
			}
			if c.judge == nil {
				err = expectEncrypted(ctx, bench, outcome, seed)
			} else {
				err = c.judge(outcome)
			}
			if err != nil {
				return err
			}
			return bystander.StillServed(ctx)
		}}
}

func (c rawCall) call(ctx context.Context, bench *conformance.Bench, seed []byte) (*rawhttp2.Outcome, error) {
	message, err := proto.Marshal(&kmsapi.EncryptRequest{Plaintext: seed, Uid: conformance.NewUID()})
	if err != nil {
		return nil, err
	}
	connection, err := bench.Raw(ctx, bench.CallTimeout)
	if err != nil {
		return nil, err
	}
	start := c.settings
	if start == nil {
		start = func(connection *rawhttp2.Connection) error { return connection.Start() }
	}
	if err := start(connection); err != nil {
		return nil, err
	}
	if err := c.send(connection, message); err != nil {
		return nil, err
	}
	return connection.Await(firstStream), nil
}

// expectGoodCall sees that a call made by hand, with nothing wrong with it, succeeds.
func expectGoodCall(ctx context.Context, bench *conformance.Bench) error {
	seed := conformance.NewSeed()
	outcome, err := goodCall.call(ctx, bench, seed)
	if err != nil {
		return err
	}
	return expectEncrypted(ctx, bench, outcome, seed)
}

// expectEncrypted takes the answer to an Encrypt made by hand, and sees it decrypted by an ordinary client.
func expectEncrypted(ctx context.Context, bench *conformance.Bench, outcome *rawhttp2.Outcome, seed []byte) error {
	payload, err := outcome.Payload()
	if err != nil {
		return conformance.Fail("success", "%s", outcome)
	}
	var encrypted kmsapi.EncryptResponse
	if err := proto.Unmarshal(payload, &encrypted); err != nil {
		return conformance.Fail("an EncryptResponse", "%v", err)
	}
	client, err := bench.Client()
	if err != nil {
		return err
	}
	return client.Verify(ctx, &conformance.Sample{Plaintext: seed, Request: conformance.DecryptRequestFor(&encrypted)})
}

func refused(outcome *rawhttp2.Outcome) error {
	if !outcome.Refused() {
		return conformance.Fail("a refusal", "%s", outcome)
	}
	return nil
}

func answered(outcome *rawhttp2.Outcome) error {
	if outcome.Silent() {
		return conformance.Fail("an answer of any kind", "%s", outcome)
	}
	return nil
}

func refusedWith(allowed ...codes.Code) func(outcome *rawhttp2.Outcome) error {
	return func(outcome *rawhttp2.Outcome) error {
		code, ok := outcome.Code()
		if !ok || !slices.Contains(allowed, code) {
			return conformance.Fail(nameCodes(allowed), "%s", outcome)
		}
		return nil
	}
}

// sendCall opens the stream with some header fields changed and sends the given DATA in one frame.
func sendCall(connection *rawhttp2.Connection, data []byte, changed ...rawhttp2.Field) error {
	if err := connection.OpenStream(firstStream, rawhttp2.CallFields(encryptPath, changed...), false); err != nil {
		return err
	}
	return connection.Send(firstStream, data, true)
}

// sendParts opens the stream and sends DATA frame by frame, the last with END_STREAM.
func sendParts(connection *rawhttp2.Connection, parts [][]byte) error {
	if err := connection.OpenStream(firstStream, rawhttp2.CallFields(encryptPath), false); err != nil {
		return err
	}
	for index, part := range parts {
		if err := connection.Send(firstStream, part, index == len(parts)-1); err != nil {
			return err
		}
	}
	return nil
}

func eachByte(data []byte) (parts [][]byte) {
	for index := range data {
		parts = append(parts, data[index:index+1])
	}
	return parts
}

// withUnknownFields adds fields of every wire type that the message does not have: a newer kube-apiserver may send some.
func withUnknownFields(message []byte) []byte {
	extended := bytes.Clone(message)
	extended = protowire.AppendVarint(protowire.AppendTag(extended, 1000, protowire.VarintType), 300)
	extended = protowire.AppendFixed32(protowire.AppendTag(extended, 1001, protowire.Fixed32Type), 1)
	extended = protowire.AppendFixed64(protowire.AppendTag(extended, 1002, protowire.Fixed64Type), 1)
	return protowire.AppendString(protowire.AppendTag(extended, 1003, protowire.BytesType), "from a newer version")
}
