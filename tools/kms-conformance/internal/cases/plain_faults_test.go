package cases

import "testing"

// promise is one rule that a plainServer can break.
type promise int

const (
	keepsPromises promise = iota
	takesGet
	takesAnyContentType
	takesNoContentType
	takesSimilarContentType
	takesOneContentTypeOnly
	refusesUnknownHeaders
	refusesUnknownFields
	servesNamedClientsOnly
	ignoresDeadlines
	hangsOnBadDeadline
	knowsNoHours
	takesNoMessage
	takesTruncatedPrefix
	takesTruncatedMessage
	waitsForAnyLength
	takesAnyFlag
	takesFlagAlone
	takesGzip
	failsOnGzip
	takesAnyCompression
	takesTwoMessages
	takesAPartMore
	takesNotProtobuf
	takesFieldPastEnd
	takesNotUTF8
	knowsEveryService
	knowsEveryMethod
	takesAnyPath
)

func plainFaults() []brokenProvider {
	breaking := func(what string, broken promise, fails ...string) brokenProvider {
		return brokenProvider{what: what, fails: fails, serve: func(t *testing.T) testee {
			return servePlain(t, newService(t), broken)
		}}
	}
	return []brokenProvider{
		breaking("takes GET", takesGet, "grpc/get-request"),
		breaking("takes content-type text/plain", takesAnyContentType, "grpc/wrong-content-type"),
		breaking("takes calls without content-type", takesNoContentType, "grpc/no-content-type"),
		breaking("takes whatever begins with application/grpc", takesSimilarContentType, "grpc/similar-content-type"),
		breaking("refuses application/grpc+proto", takesOneContentTypeOnly, "grpc/content-type-proto"),
		breaking("refuses unknown headers", refusesUnknownHeaders, "grpc/unknown-headers"),
		breaking("refuses unknown fields", refusesUnknownFields, "grpc/unknown-fields"),
		breaking("ignores deadlines", ignoresDeadlines, "grpc/deadline-honoured"),
		breaking("never answers a malformed deadline", hangsOnBadDeadline, "grpc/malformed-deadline"),
		breaking("knows no hours", knowsNoHours, "grpc/deadline-units"),
		breaking("takes a call without a message", takesNoMessage, "grpc/no-message"),
		breaking("takes a truncated prefix", takesTruncatedPrefix, "grpc/truncated-prefix"),
		breaking("takes a truncated message", takesTruncatedMessage, "grpc/truncated-message"),
		breaking("waits for 4 GiB", waitsForAnyLength, "grpc/huge-length"),
		breaking("takes any flag", takesAnyFlag, "grpc/unknown-flag"),
		breaking("takes the compressed flag alone", takesFlagAlone, "grpc/compressed-flag-alone"),
		breaking("takes gzip, without opening it", takesGzip, "grpc/compressed-message/code"),
		breaking("fails on gzip", failsOnGzip, "grpc/compressed-message", "grpc/compressed-message/code"),
		breaking("takes any compression", takesAnyCompression, "grpc/unknown-compression"),
		breaking("takes two messages", takesTwoMessages, "grpc/two-messages"),
		breaking("takes a message and a part", takesAPartMore, "grpc/one-message-and-a-part"),
		breaking("takes what is not Protocol Buffers", takesNotProtobuf, "grpc/not-protobuf"),
		breaking("takes a field past the end", takesFieldPastEnd, "grpc/field-past-end"),
		breaking("takes strings that are not UTF-8", takesNotUTF8, "grpc/uid-not-utf8"),
		breaking("knows every service", knowsEveryService, "grpc/unknown-service"),
		breaking("knows every method", knowsEveryMethod, "grpc/unknown-method"),
		breaking("takes any path that ends well", takesAnyPath, "grpc/bad-path"),
		breaking("serves clients with a user-agent only", servesNamedClientsOnly, callsByHand()...),
	}
}

// callsByHand are the cases that see a call by hand succeed before or after they do something odd.
func callsByHand() []string {
	ids := []string{
		"grpc/bad-path", "grpc/deadline-units", "grpc/cancelled-calls-do-no-harm",
		"http2/goaway", "http2/ping", "http2/keepalive-pings",
	}
	for _, calls := range [][]rawCall{goodCalls, badCompression, badMessages, badHeaders} {
		for _, call := range calls {
			ids = append(ids, call.id)
		}
	}
	return ids
}
