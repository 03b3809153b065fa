package localapi

import (
	"context"
	"fmt"
	"net"
	"syscall"

	"github.com/herald-im/herald/protocol"
)

type callerKey struct{}

// withCaller notes who is at the other end of a new connection.
func withCaller(ctx context.Context, c net.Conn) context.Context {
	if cc, ok := c.(*countedConn); ok {
		c = cc.Conn
	}
	who := "token"
	if u, ok := c.(*net.UnixConn); ok {
		who = peerOf(u)
	}
	return context.WithValue(ctx, callerKey{}, protocol.Caller{Who: who})
}

func callerOf(ctx context.Context) protocol.Caller {
	c, _ := ctx.Value(callerKey{}).(protocol.Caller)
	return c
}

// peerOf names the process that connected, as the kernel knows it (unix(7),
// SO_PEERCRED). It is for the log: what a program may do follows from its
// being able to open the socket.
func peerOf(c *net.UnixConn) string {
	raw, err := c.SyscallConn()
	if err != nil {
		return "unknown"
	}
	var cred *syscall.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil || credErr != nil {
		return "unknown"
	}
	return fmt.Sprintf("uid %d pid %d", cred.Uid, cred.Pid)
}
