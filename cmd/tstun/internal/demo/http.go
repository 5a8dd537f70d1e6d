package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const page = "Hello from the server, through WireGuard and a packet filter.\n" +
	"This is the second line of the page.\n"

// http serves a page on the server and fetches it from the client.
func (d *demo) http(ctx context.Context) ([]string, any, error) {
	l, err := d.server.net.Listen("tcp", d.server.addrPort(portHTTP).String())
	if err != nil {
		return nil, nil, err
	}
	srv := &http.Server{
		ReadHeaderTimeout: replyTimeout,
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, page) }),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }() // ends with srv.Close
	defer func() {
		srv.Close()
		<-served
	}()
	data := HTTPData{URL: "http://" + d.server.v4.String() + "/"}
	body, status, err := d.get(ctx, data.URL)
	if err != nil {
		return nil, data, err
	}
	data.Status = status
	data.FirstLine, _, _ = strings.Cut(body, "\n")
	if body != page {
		return nil, data, fmt.Errorf("the page arrived changed: %q", body)
	}
	return []string{fmt.Sprintf("GET %s: %s", data.URL, data.Status), fmt.Sprintf("%q", data.FirstLine)}, data, nil
}

// get fetches a page from the client, over a new connection. A status other
// than 200 is an error.
func (d *demo) get(ctx context.Context, url string) (body, status string, err error) {
	c := http.Client{
		Timeout:   replyTimeout,
		Transport: &http.Transport{DialContext: d.client.net.DialContext, DisableKeepAlives: true},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return string(b), resp.Status, err
}
