package load

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestARefusalIsNeitherSuccessNorTrouble(t *testing.T) {
	for code, wrong := range map[codes.Code]bool{
		codes.OK: true, codes.Unavailable: true, codes.DeadlineExceeded: true, codes.Canceled: true, codes.ResourceExhausted: true,
		codes.InvalidArgument: false, codes.NotFound: false, codes.Unknown: false, codes.Internal: false,
	} {
		var err error
		if code != codes.OK {
			err = status.Error(code, "x")
		}
		if got := judgeRefusal(err); (got.wrong != nil) != wrong || got.code != code {
			t.Errorf("%s: %+v", code, got)
		}
	}
}
