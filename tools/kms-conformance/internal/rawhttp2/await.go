package rawhttp2

import (
	"golang.org/x/net/http2"
)

// Await reads until the stream has ended, one way or the other, and acknowledges what must be on the way.
// Whatever came for other streams is kept for their Await.
func (c *Connection) Await(stream uint32) *Outcome {
	outcome := c.outcome(stream)
	for !outcome.Ended && outcome.ResetBy == nil {
		if err := c.readFrame(); err != nil {
			outcome.Lost = err
			break
		}
	}
	outcome.GoAwayBy = c.goAway
	return outcome
}

// AwaitEnd reads until the peer ends the connection, and says how: Lost is never nil.
func (c *Connection) AwaitEnd() *Outcome {
	for {
		if err := c.readFrame(); err != nil {
			return &Outcome{GoAwayBy: c.goAway, Lost: err}
		}
	}
}

// AwaitPongs reads until so many PINGs were acknowledged in all.
func (c *Connection) AwaitPongs(count int) error {
	for c.pongs < count {
		if err := c.readFrame(); err != nil {
			return err
		}
	}
	return nil
}

// GoAwayBy is the error code of the peer's GOAWAY, or nil as long as none was read.
func (c *Connection) GoAwayBy() *http2.ErrCode { return c.goAway }

func (c *Connection) outcome(stream uint32) *Outcome {
	if c.streams[stream] == nil {
		c.streams[stream] = &Outcome{}
	}
	return c.streams[stream]
}

func (c *Connection) readFrame() error {
	frame, err := c.framer.ReadFrame()
	if err != nil {
		return err
	}
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		if !frame.IsAck() {
			return c.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if frame.IsAck() {
			c.pongs++
			return nil
		}
		return c.framer.WritePing(true, frame.Data)
	case *http2.GoAwayFrame:
		code := frame.ErrCode
		c.goAway = &code
	case *http2.RSTStreamFrame:
		code := frame.ErrCode
		c.outcome(frame.StreamID).ResetBy = &code
	case *http2.MetaHeadersFrame:
		c.takeHeaders(frame)
	case *http2.DataFrame:
		return c.takeData(frame)
	}
	return nil
}

func (c *Connection) takeHeaders(frame *http2.MetaHeadersFrame) {
	outcome := c.outcome(frame.StreamID)
	fields := map[string]string{}
	for _, field := range frame.Fields {
		fields[field.Name] = field.Value
	}
	if outcome.Headers == nil {
		outcome.Headers = fields
	}
	outcome.Trailers = fields
	outcome.Ended = frame.StreamEnded()
}

func (c *Connection) takeData(frame *http2.DataFrame) error {
	outcome := c.outcome(frame.StreamID)
	outcome.Body = append(outcome.Body, frame.Data()...)
	outcome.Ended = frame.StreamEnded()
	outcome.LargestData = max(outcome.LargestData, int(frame.Length))
	if frame.Length == 0 {
		return nil
	}
	if err := c.framer.WriteWindowUpdate(0, frame.Length); err != nil || outcome.Ended {
		return err
	}
	return c.framer.WriteWindowUpdate(frame.StreamID, frame.Length)
}
