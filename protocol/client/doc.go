// Package client calls the local API of a herald daemon: its methods with
// their types, and its events, which go on after the daemon was restarted.
//
//	c := client.Unix("/run/herald/herald.sock")
//	defer c.Close()
//	res, err := client.Call(ctx, c, protocol.SendC2CTextMessage,
//		protocol.C2CTextRequest{UserID: "indoor", Text: "hello"})
//
// An answer that is an error comes back as *protocol.Error; a daemon that does
// not answer at all as *UnreachableError.
package client
