"""What a host has and lacks for SGX with DCAP, and how to mend it. Reads; changes nothing."""
