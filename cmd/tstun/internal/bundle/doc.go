// Package bundle collects what a maintainer needs to help with a tunnel that runs, and
// puts it into one archive.
//
// Collect asks the tunnel and the host, a Part for each file. A part that fails keeps its
// error, and the others are there. No part has a secret: what looks like a WireGuard key
// and is no public key of the tunnel's is hidden, and so are passwords in URLs. Anonymize
// replaces addresses, names and public keys by others, the same ones in all parts. Write
// writes the archive, with a Manifest in front.
package bundle
