package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Client asks the tunnel of a name. Its methods fail with an *Error if the
// tunnel refuses, and with an fs.ErrPermission if this user may not ask.
type Client struct {
	Name string
	path string
}

// ErrNotRunning is that no tunnel of a name runs, as far as this user can see.
var ErrNotRunning = errors.New("does not run")

// Find returns the Client for a tunnel that listens in one of dirs, or an
// ErrNotRunning. It fails with an fs.ErrPermission if this user may not see
// whether it runs.
func Find(dirs []string, name string) (*Client, error) {
	if _, err := pathOf("", name); err != nil {
		return nil, err
	}
	err := fmt.Errorf("tunnel %s %w", name, ErrNotRunning)
	for _, dir := range dirs {
		c := &Client{name, filepath.Join(dir, name+suffix)}
		switch reachErr := c.reach(dir); {
		case reachErr == nil:
			return c, nil
		case errors.Is(reachErr, fs.ErrPermission):
			err = reachErr
		}
	}
	return nil, err
}

// At returns the Client for a tunnel whose socket is at a path, such as one that ssh -L
// forwards. That whoever listens there is to be believed, is for the caller to know.
func At(path string) (*Client, error) {
	conn, err := dial(path)
	if err != nil {
		return nil, err
	}
	_ = conn.Close() // nothing was sent
	return &Client{strings.TrimSuffix(filepath.Base(path), suffix), path}, nil
}

// List returns Clients for all tunnels that this user may ask, by name, and
// whether there is a directory that it may not look into.
func List(dirs []string) (clients []*Client, hidden bool) {
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		hidden = hidden || errors.Is(err, fs.ErrPermission)
		for _, e := range entries {
			name, ok := strings.CutSuffix(e.Name(), suffix)
			if !ok {
				continue
			}
			c := &Client{name, filepath.Join(dir, e.Name())}
			err := c.reach(dir)
			if err == nil {
				clients = append(clients, c)
			}
			hidden = hidden || errors.Is(err, fs.ErrPermission)
		}
	}
	slices.SortStableFunc(clients, func(a, b *Client) int { return strings.Compare(a.Name, b.Name) })
	return clients, hidden
}

// reach reports whether somebody listens who may be trusted.
func (c *Client) reach(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !isTrusted(info) {
		return fmt.Errorf("%s is of another user: %w", dir, fs.ErrPermission)
	}
	conn, err := dial(c.path)
	if err != nil {
		return err
	}
	return conn.Close()
}

// RemoveStale removes the sockets that killed runs of a name left in dirs, and
// reports whether there were any.
func RemoveStale(dirs []string, name string) (found bool, err error) {
	var errs []error
	for _, dir := range dirs {
		path := filepath.Join(dir, name+suffix)
		c, err := dial(path)
		if err == nil {
			_ = c.Close()
		} else if errors.Is(err, syscall.ECONNREFUSED) {
			found = true
			errs = append(errs, os.Remove(path))
		}
	}
	return found, errors.Join(errs...)
}

// Status returns what the tunnel is at a moment.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.get(ctx, "/v1/status", &s)
}

// Diagnose returns what is wrong with the tunnel.
func (c *Client) Diagnose(ctx context.Context) (d Diagnosis, err error) {
	return d, c.get(ctx, "/v1/diagnose", &d)
}

// Down asks the tunnel to end and returns when all is undone, or what could not
// be as an error.
func (c *Client) Down(ctx context.Context) error {
	resp, err := c.do(ctx, "POST", "/v1/down")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer))
	for {
		var e Ending
		switch err := lines.Decode(&e); {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("the process of tunnel %s ended without a word of whether all is undone", c.Name)
		case e.Error != "":
			return errors.New(e.Error)
		case e.State == StateEnded:
			return nil
		}
	}
}

// Connect opens a TCP connection to HOST:PORT through the tunnel. It can be
// closed for writing alone.
func (c *Client) Connect(ctx context.Context, to string) (net.Conn, error) {
	conn, err := dial(c.path)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	req, err := http.NewRequest("POST", host+"/v1/connect?to="+url.QueryEscape(to), nil)
	if err == nil {
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", upgradeTo)
		err = req.Write(conn)
	}
	r := bufio.NewReader(conn)
	var resp *http.Response
	if err == nil {
		resp, err = http.ReadResponse(r, req)
	}
	if err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
		err = failureOf(resp)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &upgraded{conn, r}, nil
}

// upgraded is a connection of which some was read already.
type upgraded struct {
	*net.UnixConn
	r *bufio.Reader
}

func (c *upgraded) Read(b []byte) (int, error) { return c.r.Read(b) }

const (
	host      = "http://tstun"
	maxAnswer = 16 << 20 // bytes
)

// get asks for one JSON document.
func (c *Client) get(ctx context.Context, path string, into any) error {
	resp, err := c.do(ctx, "GET", path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("answer of tunnel %s: %w", c.Name, err)
	}
	return nil
}

// do asks, over a connection of its own.
func (c *Client) do(ctx context.Context, method, path string) (*http.Response, error) {
	return c.send(ctx, method, path, nil)
}

// send is do with a body.
func (c *Client) send(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, host+path, body)
	if err != nil {
		return nil, err
	}
	t := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return dial(c.path) },
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("ask tunnel %s: %w", c.Name, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, failureOf(resp)
	}
	return resp, nil
}

// failureOf reads an Error.
func failureOf(resp *http.Response) error {
	e := &Error{Code: resp.StatusCode}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(e); err != nil || e.Message == "" {
		e.Message = "the tunnel answers " + resp.Status
	}
	return e
}
