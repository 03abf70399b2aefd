"""The settings of a run: flags, limits, rules between flags, and what each topic builds."""
