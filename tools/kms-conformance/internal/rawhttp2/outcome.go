package rawhttp2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
)

// Outcome is how the peer answered on one stream. Only one of the fields ended it, and the others are as they stood then.
type Outcome struct {
	// Headers are the first header fields, Trailers those that ended the stream. An answer in one HEADERS frame
	// ("trailers-only") has the same in both.
	Headers  map[string]string
	Trailers map[string]string
	// Body is all DATA.
	Body []byte
	// LargestData is the length of the longest DATA frame, in bytes.
	LargestData int
	// Ended is true after END_STREAM.
	Ended bool
	// ResetBy is the error code of the peer's RST_STREAM.
	ResetBy *http2.ErrCode
	// GoAwayBy is the error code of a GOAWAY; it may come before or after the answer.
	GoAwayBy *http2.ErrCode
	// Lost is set if the connection ended, or nothing more came in time, before the answer was there.
	Lost error
}

// Code is the gRPC status code. ok is false if the peer gave none.
func (o *Outcome) Code() (code codes.Code, ok bool) {
	text, ok := o.Trailers["grpc-status"]
	if !ok || !o.Ended {
		return codes.Unknown, false
	}
	number, err := strconv.ParseUint(text, 10, 32)
	return codes.Code(number), err == nil
}

// Text is the gRPC status message, decoded.
func (o *Outcome) Text() string {
	text := o.Trailers["grpc-message"]
	if decoded, err := url.PathUnescape(text); err == nil {
		return decoded
	}
	return text
}

// Payload is the one message of a successful answer.
func (o *Outcome) Payload() ([]byte, error) {
	if code, ok := o.Code(); !ok || code != codes.OK {
		return nil, fmt.Errorf("not answered OK but %s", o)
	}
	if len(o.Body) < PrefixBytes || o.Body[0] != 0 || int(binary.BigEndian.Uint32(o.Body[1:])) != len(o.Body)-PrefixBytes {
		return nil, fmt.Errorf("the %d bytes of the answer are not one uncompressed message", len(o.Body))
	}
	return o.Body[PrefixBytes:], nil
}

// GzipPayload is the one message of a successful answer that is compressed by gzip.
func (o *Outcome) GzipPayload() ([]byte, error) {
	if code, ok := o.Code(); !ok || code != codes.OK {
		return nil, fmt.Errorf("not answered OK but %s", o)
	}
	if len(o.Body) < PrefixBytes || o.Body[0] != 1 || o.Headers["grpc-encoding"] != "gzip" {
		return nil, errors.New("the answer is not one message compressed by gzip")
	}
	return gunzip(o.Body[PrefixBytes:])
}

// Succeeded says whether the peer took the call for a good one.
func (o *Outcome) Succeeded() bool {
	code, ok := o.Code()
	return ok && code == codes.OK
}

// Silent says whether the peer neither answered nor ended anything before our deadline.
func (o *Outcome) Silent() bool { return errors.Is(o.Lost, os.ErrDeadlineExceeded) }

// Refused says whether the peer said no: by a status, by HTTP, by a reset, or by ending the connection.
func (o *Outcome) Refused() bool { return !o.Succeeded() && !o.Silent() }

// String describes the outcome for a report.
func (o *Outcome) String() string {
	var parts []string
	if code, ok := o.Code(); ok {
		parts = append(parts, fmt.Sprintf("gRPC status %s %q", code, o.Text()))
	} else if status := o.Headers[":status"]; status != "" {
		parts = append(parts, "HTTP status "+status+" without a gRPC status")
	}
	if o.ResetBy != nil {
		parts = append(parts, fmt.Sprintf("RST_STREAM %s", *o.ResetBy))
	}
	if o.GoAwayBy != nil {
		parts = append(parts, fmt.Sprintf("GOAWAY %s", *o.GoAwayBy))
	}
	switch {
	case o.Silent():
		parts = append(parts, "no answer in time")
	case o.Lost != nil:
		parts = append(parts, fmt.Sprintf("connection lost (%v)", o.Lost))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}
