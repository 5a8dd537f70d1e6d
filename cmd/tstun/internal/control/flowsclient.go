package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"tstun/tunnel"
)

// Flows asks for flows and calls line with each, a JSON document of tunnel.Flow without
// the end of the line, which is valid until line returns. It ends with line's error, with
// ctx, or with the answer, of which it returns the total; that of one that follows, when
// the tunnel ends, is the zero value.
func (c *Client) Flows(ctx context.Context, q FlowsQuery, line func([]byte) error) (total tunnel.FlowTotal, err error) {
	var end FlowsEnd
	path := "/v1/flows?" + q.values().Encode()
	if q.Follow {
		return end.Total, c.lines(ctx, path, line)
	}
	err = c.linesAndEnd(ctx, path, &end, line)
	return end.Total, err
}

// linesAndEnd calls line with each line of an answer but the last, which it reads into end.
// An answer without that is not whole.
func (c *Client) linesAndEnd(ctx context.Context, path string, end any, line func([]byte) error) error {
	whole := false
	err := c.lines(ctx, path, func(text []byte) error {
		if !bytes.HasPrefix(text, []byte(`{"total":`)) {
			return line(text)
		}
		whole = true
		return json.Unmarshal(text, end)
	})
	if err == nil && !whole {
		err = fmt.Errorf("the answer of tunnel %s ends too early", c.Name)
	}
	return err
}

// Events asks for events and calls line with each, as Flows does, a JSON document of
// tunnel.Event: those that are kept, and if it follows, those that come.
func (c *Client) Events(ctx context.Context, follow bool, line func([]byte) error) error {
	path := "/v1/events"
	if follow {
		path += "?follow"
	}
	return c.lines(ctx, path, line)
}

// maxLine is how long a line of an answer may be, in bytes.
const maxLine = 1 << 20

// lines asks for lines and calls line with each.
func (c *Client) lines(ctx context.Context, path string, line func([]byte) error) error {
	resp, err := c.do(ctx, "GET", path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	in := bufio.NewScanner(resp.Body)
	in.Buffer(make([]byte, 64<<10), maxLine)
	for in.Scan() {
		if err := line(in.Bytes()); err != nil {
			return err
		}
	}
	switch err := in.Err(); {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("answer of tunnel %s: %w", c.Name, err)
	}
	return nil
}
