//! Sources of packets: capture files, interfaces, NFQUEUE.
