"""Moving guests by Nova's evacuate: judged beforehand, sent in batches, followed to the end. Pure.

Nova decides where a guest goes and rebuilds it; what is here decides when Nova is asked, and knows
at every moment what of it was asked, what came of it, and what is not known.
"""
