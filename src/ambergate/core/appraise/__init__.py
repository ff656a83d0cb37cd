"""Is this evidence welcome? Policies over proven facts; never mixed with whether they are facts."""
