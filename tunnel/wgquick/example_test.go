package wgquick_test

import (
	"fmt"

	"tstun/tunnel/wgquick"
)

func Example() {
	config, warnings, err := wgquick.Parse("wg0.conf", []byte(`
[Interface]
PrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=
Address = 10.0.0.1/24

[Peer]
# Name = laptop
PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
AllowedIPs = 10.0.0.2/24
`), wgquick.Options{})
	fmt.Println(config, config.PrivateKey, config.Peers[0], config.Peers[0].AllowedIPs, err)
	fmt.Println(warnings)
	// Output:
	// wg0 10.0.0.1/24, 1 peer (hidden) laptop [10.0.0.0/24] <nil>
	// [wg0.conf:9:14: AllowedIPs = 10.0.0.2/24: taken as 10.0.0.0/24]
}

func ExampleErrors() {
	_, _, err := wgquick.Parse("wg0.conf", []byte("[Interface]\nAdress = 10.0.0.1/24\n\nPostUp = iptables -A FORWARD -j ACCEPT\n"), wgquick.Options{})
	for _, e := range err.(wgquick.Errors) {
		fmt.Printf("%v\n  %s\n", e, e.Hint)
	}
	// Output:
	// wg0.conf:2:1: Adress: a key that neither wg nor wg-quick knows
	//   did you mean Address?
	// wg0.conf:4:1: PostUp is a command to run: refused
	//   --allow-hooks runs it as wg-quick does, --ignore-hooks passes over it
}
