package tunnel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"

	"tstun/key"
	"tstun/tunnel"
	"tstun/tunnel/wgquick"
)

// A tunnel of a wg-quick file, and a policy, such as tstun pair writes.
func Example_file() {
	ctx := context.Background()
	end, err := serve(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer end()

	config, warnings, err := wgquick.ParseFile("pair/client.conf", wgquick.Options{})
	if err != nil || len(warnings) > 0 {
		fmt.Println(err, warnings)
		return
	}
	config.Mode, config.Policy = tunnel.ModeUserspace, "pair/policy.hujson"
	t, err := tunnel.Start(ctx, *config)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer t.Close()
	conn, err := t.DialContext(ctx, "tcp", "10.77.0.1:80")
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := io.ReadAll(conn)
	fmt.Println(string(text), err)
	// Output: hello <nil>
}

// serve writes the files of Example_file into a new directory, makes it the
// current one, and starts the other end. end undoes that.
func serve(ctx context.Context) (end func() error, err error) {
	server, client := key.NewPrivate(), key.NewPrivate()
	t, err := tunnel.Start(ctx, tunnel.Config{
		Mode: tunnel.ModeUserspace, PrivateKey: server, Addresses: []netip.Prefix{netip.MustParsePrefix("10.77.0.1/24")},
		Peers: []tunnel.Peer{{PublicKey: client.Public(), AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.77.0.2/32")}}},
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	l, err := t.Listen(ctx, "tcp", ":80")
	if err != nil {
		return nil, err
	}
	go func() { // ends with t
		c, err := l.Accept()
		if err == nil {
			io.WriteString(c, "hello")
			c.Close()
		}
	}()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		return nil, err
	}
	before, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.77.0.2/24\n[Peer]\nPublicKey = %v\nAllowedIPs = 10.77.0.1\nEndpoint = 127.0.0.1:%d\n",
		client.Reveal(), server.Public(), t.Status().ListenPort)
	policy := `{"local": "10.77.0.2", "accept": [], "tests": [{"src": "10.77.0.1", "deny": "10.77.0.2:*"}]}`
	return func() error { return errors.Join(os.Chdir(before), os.RemoveAll(dir), t.Close()) }, errors.Join(
		os.Chdir(dir), os.Mkdir("pair", 0o700),
		os.WriteFile("pair/client.conf", []byte(config), 0o600), os.WriteFile("pair/policy.hujson", []byte(policy), 0o600))
}
